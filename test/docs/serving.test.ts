import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/serving.md', () => testCodeBlocks('docs/serving.md', ['models']));
