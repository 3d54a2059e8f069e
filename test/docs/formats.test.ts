import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/formats.md', () => testCodeBlocks('docs/formats.md'));
