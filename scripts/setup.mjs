/**
 * Set-up by hand; `npm start` and `npm test` do it themselves.
 *
 *   node scripts/setup.mjs            everything that is not up to date
 *   node scripts/setup.mjs --native   the native addon only, failing where it cannot be built
 */
import { setup, setupNative } from './lib/setup.mjs';

const ok = process.argv.includes('--native') ? setupNative() : setup();
process.exitCode = ok ? 0 : 1;
