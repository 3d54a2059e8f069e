/**
 * `npm run check:interchange`: what lorakeet exports, loaded by llama.cpp and by transformers and PEFT, and what those save,
 * read again. Both are installed into scratch folders where they can be; LORAKEET_PYTHON names a Python that has torch,
 * transformers and peft already, and LORAKEET_LLAMA_SERVER a server of llama.cpp (docs/serving.md says how to build one).
 * What is not there is skipped with the reason, unless LORAKEET_REQUIRE lists it as llama.cpp, llama-server or peft.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { capture, findOnPath, isRequired, npmCommand, root, run, scratch } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

const source = join(root, 'test', 'interchange');
const folder = join(scratch, 'interchange');
const PROBE = 'import torch, transformers, peft, safetensors';

/** Installs the npm package that ships llama.cpp; null, or why not. */
function installLlamaCpp() {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return 'test/interchange names the binaries of linux-x64 only';
  const read = (...path) => JSON.parse(readFileSync(join(source, ...path, 'package.json'), 'utf8'));
  const isThere = ([name, version]) =>
    existsSync(join(source, 'node_modules', name)) && read('node_modules', name).version === version;
  if (Object.entries(read().dependencies).every(isThere)) return null;
  console.log('  installing llama.cpp into test/interchange/node_modules');
  // not npm ci, which asks for every optional package of other systems too
  const [command, args] = npmCommand(['install', '--no-save', '--ignore-scripts', '--omit=optional']);
  const { status, output } = capture(command, args, { cwd: source });
  return status === 0 ? null : `npm install failed: ${lastLine(output)}`;
}

/** A Python with what interchange.py imports, or why there is none. */
function findPython() {
  const given = process.env.LORAKEET_PYTHON;
  if (given) return canImport(given) ? { python: given } : { reason: `LORAKEET_PYTHON cannot ${PROBE}` };
  const venv = join(scratch, 'interchange-venv');
  const python = join(venv, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  if (existsSync(python) && canImport(python)) return { python };
  const base = findOnPath('python3') ?? findOnPath('python');
  if (!base) return { reason: 'no Python on PATH' };
  console.log('  installing torch, transformers and peft into .setup/interchange-venv');
  rmSync(venv, { recursive: true, force: true });
  const pip = ['-m', 'pip', 'install', '--quiet', '--retries', '1', '-r', join(source, 'requirements.txt')];
  for (const [command, args] of [
    [base, ['-m', 'venv', venv]],
    [python, pip],
  ]) {
    const { status, output } = capture(command, args, { timeout: 600_000 });
    if (status !== 0) return { reason: `${args.slice(1, 3).join(' ')} failed: ${lastLine(output)}` };
  }
  return canImport(python) ? { python } : { reason: `the installed packages cannot be imported: ${PROBE}` };
}

function canImport(python) {
  return capture(python, ['-c', PROBE]).status === 0;
}

function lastLine(output) {
  return output.trim().split('\n').at(-1) ?? '';
}

const checks = {
  'llama.cpp'() {
    const reason = installLlamaCpp();
    return reason ? { reason } : { status: run(process.execPath, [join(source, 'llama-cpp.mjs'), folder]) };
  },
  'llama-server'() {
    const server = process.env.LORAKEET_LLAMA_SERVER;
    if (!server) return { reason: 'LORAKEET_LLAMA_SERVER does not name a llama-server' };
    return { status: run(process.execPath, [join(source, 'llama-server.mjs'), server, folder]) };
  },
  peft() {
    const { python, reason } = findPython();
    return reason ? { reason } : { status: run(process.execPath, [join(source, 'peft.mjs'), python, folder]) };
  },
};

function main() {
  if (!setup()) return 1;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const failed = Object.entries(checks).filter(([name, check]) => {
    console.log(`interchange: ${name}`);
    const { reason, status } = check();
    if (reason) console.log(`  skipped: ${reason}`);
    return reason ? isRequired(name) : status !== 0;
  });
  for (const [name] of failed) console.error(`interchange: ${name} failed, or was required and skipped`);
  return failed.length === 0 ? 0 : 1;
}

process.exitCode = main();
