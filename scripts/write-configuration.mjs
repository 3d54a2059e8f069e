/** Writes docs/configuration.md from the table of configuration keys; build first (`npm run build`). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ALL_KEYS } from '../dist/service/config/keys.js';
import { configurationDocument } from './lib/configuration-document.mjs';
import { root } from './lib/process.mjs';

writeFileSync(join(root, 'docs/configuration.md'), configurationDocument(ALL_KEYS));
