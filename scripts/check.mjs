/**
 * `npm run check`: types, lint and format of everything that is not a test's business. `npm run format` (--fix) mends what
 * can be mended by machine.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { capture, findOnPath, isRequired, packageBin, root, run } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

/** clang-format's output differs between major versions; this is the one of Debian 12, which CI runs. */
const CLANG_FORMAT_MAJOR = '14';
const fix = process.argv.includes('--fix');

function types() {
  return run(process.execPath, [packageBin('typescript', 'tsc'), '-p', 'tsconfig.check.json']) === 0;
}

function biome() {
  const how = fix ? ['check', '--write'] : ['check', '--error-on-warnings'];
  return run(process.execPath, [packageBin('@biomejs/biome', 'biome'), ...how]) === 0;
}

function clangFormat() {
  const reason = clangFormatMissing();
  if (reason) {
    console.log(`  skipped: ${reason}`);
    return !isRequired('clang-format');
  }
  const files = nativeFiles();
  return run('clang-format', fix ? ['-i', ...files] : ['--dry-run', '--Werror', ...files]) === 0;
}

function clangFormatMissing() {
  if (!findOnPath('clang-format')) return 'clang-format is not on PATH';
  const version = capture('clang-format', ['--version']).output.match(/version (\d+)/)?.[1];
  return version === CLANG_FORMAT_MAJOR
    ? null
    : `clang-format ${version} found, ${CLANG_FORMAT_MAJOR} is the one that counts`;
}

function nativeFiles() {
  return ['native', 'binding', 'bench/native'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => /\.(h|cc|cu|cuh|inl)$/.test(name))
      .map((name) => join(folder, name)),
  );
}

const checks = { types, 'biome (lint, format, imports)': biome, 'clang-format': clangFormat };

if (!setup()) {
  process.exitCode = 1;
} else {
  const failed = Object.entries(checks).filter(([name, check]) => {
    console.log(`check: ${name}`);
    return !check();
  });
  console.log(failed.length === 0 ? 'check: all passed' : `check: failed: ${failed.map(([name]) => name).join(', ')}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
