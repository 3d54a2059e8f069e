import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/hot-swap.md', () => testCodeBlocks('docs/hot-swap.md'));
