import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/llm.md', () => testCodeBlocks('docs/llm.md', ['models']));
