import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/learning.md', () => testCodeBlocks('docs/learning.md', ['models']));
