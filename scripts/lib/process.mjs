/** Small helpers around child processes and PATH that every script here shares. No dependencies. */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
/** Scratch folder of the scripts: stamps, logs, reports. Ignored by git, safe to delete at any time. */
export const scratch = join(root, '.setup');

/** Things that must not be skipped, from LORAKEET_REQUIRE (comma separated, for example `js,cpu,avx2,clang-format`). */
export function isRequired(name) {
  return requiredNames().includes(name);
}

export function requiredNames() {
  return (process.env.LORAKEET_REQUIRE ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
}

/** The full path of a command on PATH, or null. */
export function findOnPath(command) {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
    for (const ending of endings) {
      const path = join(folder, command + ending);
      try {
        accessSync(path, constants.X_OK);
        if (statSync(path).isFile()) return path;
      } catch {
        // not here: look in the next folder
      }
    }
  }
  return null;
}

/** The JavaScript file behind a command of an installed package, to be run as `node <file>`. */
export function packageBin(packageName, command = packageName) {
  const packageJson = join(root, 'node_modules', packageName, 'package.json');
  const { bin } = createRequire(import.meta.url)(packageJson);
  return join(dirname(packageJson), typeof bin === 'string' ? bin : bin[command]);
}

/** Runs a command to its end and returns its exit status; `log` names a file that takes its output. */
export function run(command, args, { cwd = root, env = process.env, log } = {}) {
  let output = 'inherit';
  if (log) {
    mkdirSync(dirname(log), { recursive: true });
    output = openSync(log, 'w');
  }
  try {
    const result = spawnSync(command, args, { cwd, env, stdio: ['ignore', output, output] });
    if (result.error) console.error(`${command}: ${result.error.message}`);
    return result.status ?? 1;
  } finally {
    if (log) closeSync(output);
  }
}

/** Runs a command and returns what it wrote, both streams together, with its exit status. */
export function capture(command, args, { cwd = root, env = process.env, timeout } = {}) {
  const result = spawnSync(command, args, { cwd, env, timeout, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ? result.error.message : ''}`;
  return { status: result.status ?? 1, output, stdout: result.stdout ?? '' };
}

/** Runs npm itself; `npm_execpath` is its JavaScript file whenever npm started us, so that no shell is needed. */
export function npmCommand(args) {
  const cli = process.env.npm_execpath;
  if (cli?.endsWith('.js')) return [process.execPath, [cli, ...args]];
  return [findOnPath('npm') ?? 'npm', args];
}
