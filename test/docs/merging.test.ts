import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/merging.md', () => testCodeBlocks('docs/merging.md'));
