import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/versions.md', () => testCodeBlocks('docs/versions.md'));
