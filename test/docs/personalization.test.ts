import { describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';

describe('docs/personalization.md', () => testCodeBlocks('docs/personalization.md'));
