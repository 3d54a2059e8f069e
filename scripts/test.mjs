/**
 * `npm test`: set-up, the whole suite in processes (pool forks), the kernel tests once more in worker threads (the addon
 * loaded in several contexts at once), and a closing summary of what was covered. `npm test -- <args>` passes the
 * arguments on to one vitest run instead.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { packageBin, requiredNames, run, scratch } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

const INSTRUCTION_SETS = ['baseline', 'avx2', 'avx512', 'neon'];
/** What LORAKEET_REQUIRE can ask of this suite; other names are for the other checks. */
const REQUIRABLE = ['js', 'cpu', 'cuda', 's3', 'postgres', 'chromium', ...INSTRUCTION_SETS];
const coverageFile = join(scratch, 'coverage.jsonl');

function vitest(pool, args) {
  const report = join(scratch, `test-report-${pool}.json`);
  rmSync(report, { force: true });
  const env = { ...process.env, LORAKEET_COVERAGE_FILE: coverageFile, LORAKEET_TEST_POOL: pool };
  return run(
    process.execPath,
    [
      packageBin('vitest'),
      'run',
      `--pool=${pool}`,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ],
    { env },
  );
}

/** What the tests told test/support/coverage-report.ts, by subject: in which pools it was covered, or why not. */
function readCoverage() {
  const subjects = new Map();
  const lines = existsSync(coverageFile) ? readFileSync(coverageFile, 'utf8').split('\n').filter(Boolean) : [];
  for (const { kind, name, reason, pool } of lines.map((line) => JSON.parse(line))) {
    const key = `${kind} ${name}`;
    const subject = subjects.get(key) ?? { key, name, pools: new Set(), reason };
    if (reason === undefined) subject.pools.add(pool);
    subjects.set(key, subject);
  }
  for (const name of INSTRUCTION_SETS) {
    const key = `instruction set ${name}`;
    const reason = 'not run by this processor and addon (`npm run check:emulated` runs NEON and an x64 without AVX)';
    if (!subjects.has(key)) subjects.set(key, { key, name, pools: new Set(), reason });
  }
  return [...subjects.values()];
}

/** Prints what ran where and what did not; returns the required names that were not covered. */
function summarize() {
  const all = readCoverage();
  const coveredOnes = all.filter((subject) => subject.pools.size > 0);
  console.log('\nCovered:');
  for (const { key, pools } of coveredOnes) console.log(`  ${key} (${[...pools].sort().join(', ')})`);
  if (coveredOnes.length === 0) console.log('  no backend');
  const skippedOnes = all.filter((subject) => subject.pools.size === 0);
  if (skippedOnes.length > 0) console.log('Skipped:');
  for (const { key, reason } of skippedOnes) console.log(`  ${key}: ${reason}`);
  const names = new Set(coveredOnes.map((subject) => subject.name));
  return requiredNames().filter((name) => REQUIRABLE.includes(name) && !names.has(name));
}

function main(args) {
  if (!setup()) return 1;
  mkdirSync(scratch, { recursive: true });
  rmSync(coverageFile, { force: true });
  if (args.length > 0) return vitest('forks', args);
  const statuses = [vitest('forks', []), vitest('threads', ['test/kernels'])];
  const missing = summarize();
  if (missing.length > 0) console.error(`Required by LORAKEET_REQUIRE but not covered: ${missing.join(', ')}`);
  return statuses.some((status) => status !== 0) || missing.length > 0 ? 1 : 0;
}

process.exitCode = main(process.argv.slice(2));
