import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/service-form.md', () => testCodeBlocks('docs/service-form.md'));
