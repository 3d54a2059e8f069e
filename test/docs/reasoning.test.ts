import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/reasoning.md', () => testCodeBlocks('docs/reasoning.md'));
