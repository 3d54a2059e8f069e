import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/service.md', () => testCodeBlocks('docs/service.md', ['models', 'examples']));
