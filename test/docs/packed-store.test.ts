import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/packed-store.md', () => testCodeBlocks('docs/packed-store.md'));
