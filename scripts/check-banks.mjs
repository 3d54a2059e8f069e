/**
 * Runs the bank conformance suite against the real packages: agentdb's controllers, and agentic-flow's HybridReasoningBank
 * with and without the bridge. Not part of `npm test`: it installs 1.4 GB, into the folder given, once.
 *
 *   npm run check:banks -- FOLDER
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { root, run } from './lib/process.mjs';

const PACKAGES = ['agentic-flow@2.1.3', 'agentdb@3.0.0-alpha.20', '@photostructure/sqlite@1.2.1'];

/** Runs in the folder, where all packages are found under their own names; prints one line for every case. */
const program = `
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bankConformance } from 'lorakeet/testing';
import { agentdbReasoningBank, fromAgenticFlow, ReasoningBank } from 'lorakeet';

/** A package of this folder; lorakeet does not depend on it. */
const load = (name) => import(name);

async function check(name, options) {
  let failed = 0;
  const cases = bankConformance(options);
  for (const test of cases) {
    try {
      await test.run();
    } catch (error) {
      failed += 1;
      console.log('  FAILS ' + test.name + '\\n        ' + String(error.message).split('\\n').slice(0, 3).join(' '));
    }
  }
  console.log(name + ': ' + (cases.length - failed) + ' of ' + cases.length + ' cases');
  return failed;
}

// not the packages' own chatter
const say = console.log;
for (const level of ['info', 'warn', 'error', 'debug']) console[level] = () => {};
console.log = (text) => /^( *FAILS|the )/.test(text) && say(text);

const closeBank = (bank) => bank.close?.();
let failed = await check('the embedded bank', { makeBank: () => new ReasoningBank(), closeBank });
failed += await check('the bank over agentdb', { makeBank: () => agentdbReasoningBank(':memory:'), closeBank });
const { HybridReasoningBank } = await load('agentic-flow/reasoningbank');
const { default: Database } = await load('better-sqlite3');
const published = () => new HybridReasoningBank({ preferWasm: false });
await check('the bank of agentic-flow as published', { makeBank: published });

// made usable from outside: its pool, which is not exported, initialised on a file that has agentdb's own tables
const packageFile = (path) => join(process.cwd(), 'node_modules', path);
const { SharedMemoryPool } = await load(pathToFileURL(packageFile('agentic-flow/dist/memory/SharedMemoryPool.js')).href);
let made = 0;
async function repaired() {
  const dbPath = join(mkdtempSync(join(tmpdir(), 'agentic-flow-')), 'bank-' + ++made + '.db');
  const database = new Database(dbPath);
  for (const name of ['schema.sql', 'frontier-schema.sql']) {
    database.exec(readFileSync(packageFile('agentdb/dist/schemas/' + name), 'utf8'));
  }
  database.close();
  SharedMemoryPool.reset();
  await SharedMemoryPool.getInstance({ dbPath }).ensureInitialized();
  return new HybridReasoningBank({ preferWasm: false });
}
await check('the bank of agentic-flow, repaired, through the bridge', { makeBank: () => fromAgenticFlow(repaired) });
// last, because its rejections come late
await check('the bank of agentic-flow, repaired', { makeBank: repaired });
process.exit(failed === 0 ? 0 : 1);
`;

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: npm run check:banks -- FOLDER (outside the repository; 1.4 GB are installed into it)');
  process.exit(2);
}
const target = resolve(folder);
mkdirSync(target, { recursive: true });
writeFileSync(join(target, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
writeFileSync(join(target, 'check.mjs'), program);
const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip', ONNXRUNTIME_NODE_INSTALL_CUDA: 'skip' };
const flags = ['--no-audit', '--no-fund', '--no-save', '--legacy-peer-deps'];
const steps = [
  ['npm', ['run', 'build'], { cwd: root }],
  ['npm', ['pack', '--pack-destination', target], { cwd: root }],
  ['npm', ['install', ...flags, ...PACKAGES, './lorakeet-0.1.0.tgz'], { cwd: target, env }],
  [process.execPath, ['check.mjs'], { cwd: target }],
];
process.exitCode = steps.reduce((status, step) => status || run(...step), 0);
