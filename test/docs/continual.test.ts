import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/continual.md', () => testCodeBlocks('docs/continual.md'));
