import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/vectors.md', () => testCodeBlocks('docs/vectors.md'));
