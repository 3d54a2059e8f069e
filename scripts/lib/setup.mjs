/**
 * Brings a clone to runnable, and does nothing where that has been done: dependencies, TypeScript, and the native addon
 * where a C++ compiler is present. Needs Node and npm, nothing else; a machine without a compiler runs on the JavaScript
 * backend and is told so.
 */
import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { capture, findOnPath, isRequired, npmCommand, packageBin, root, run, scratch } from './process.mjs';
import { hashOf, readStamp, withLock, writeStamp } from './steps.mjs';

const NATIVE_SOURCES = ['native', 'binding', 'cmake', 'CMakeLists.txt'];
const TYPESCRIPT_PROJECTS = [
  { config: 'tsconfig.json', sources: ['src'], output: 'dist' },
  {
    config: 'tsconfig.dashboard.json',
    sources: ['src'],
    output: 'dist/service/dashboard/page',
    copies: [
      ...['index.html', 'style.css', 'icon.svg'].map((name) => `src/service/dashboard/page/${name}`),
      ...['dist/uPlot.iife.min.js', 'dist/uPlot.min.css', 'LICENSE'].map((name) => `node_modules/uplot/${name}`),
    ],
  },
  { config: 'tsconfig.examples.json', sources: ['src', 'examples'], output: 'build/examples' },
  { config: 'tsconfig.bench.json', sources: ['src', 'bench/src'], output: 'build/bench' },
];

/** Returns false where a step that the caller cannot do without failed; the reason has been printed. */
export function setup() {
  if (isReady()) return true;
  return withLock(() => installDependencies() && buildNative() && compileTypeScript());
}

/** The quick answer of a second run: nothing to do, nothing to say but the standing notice of a missing backend. */
function isReady() {
  if (!dependenciesMatchLock() || !staleProjects().every((stale) => stale === null)) return false;
  const native = nativeState();
  if (native.kind === 'stale' || (native.kind !== 'built' && isRequired('cpu'))) return false;
  if (native.notice) console.log(native.notice);
  return true;
}

// ---- dependencies

function installDependencies() {
  if (dependenciesMatchLock()) return true;
  return timed('installing dependencies (npm ci)', () => {
    const [command, args] = npmCommand(['ci', '--include=dev']);
    const log = join(scratch, 'npm-ci.log');
    const status = run(command, args, { log });
    if (status !== 0) reportFailure('npm ci', log, (lines) => lines.slice(0, 12));
    return status === 0;
  });
}

/** Compares npm's own record of what it installed with the lock file; packages for other platforms may be absent. */
function dependenciesMatchLock() {
  const wanted = readPackages('package-lock.json');
  const installed = readPackages('node_modules/.package-lock.json');
  if (!wanted || !installed) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    return found ? found.version === entry.version : Boolean(entry.optional || entry.peer);
  });
}

function readPackages(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  } catch {
    return null;
  }
}

// ---- TypeScript

/** For each project the hash to build for, or null where its output is up to date. */
function staleProjects() {
  return TYPESCRIPT_PROJECTS.map(({ config, sources, output }) => {
    if (!existsSync(join(root, config))) return null;
    const hash = hashOf(['tsconfig.json', config, 'package.json', 'package-lock.json', ...sources]);
    return readStamp(config)?.hash === hash && existsSync(join(root, output)) ? null : hash;
  });
}

function compileTypeScript() {
  const hashes = staleProjects();
  return TYPESCRIPT_PROJECTS.every(({ config, output, copies = [] }, i) => {
    if (hashes[i] === null) return true;
    return timed(`compiling TypeScript (${config})`, () => {
      rmSync(join(root, output), { recursive: true, force: true });
      const { status, output: messages } = capture(process.execPath, [packageBin('typescript', 'tsc'), '-p', config]);
      if (messages.trim()) console.error(messages.trim());
      for (const file of copies) cpSync(join(root, file), join(root, output, copyName(file)));
      if (status === 0 && output === 'dist') makeCommandsExecutable();
      if (status === 0) writeStamp(config, hashes[i]);
      return status === 0;
    });
  });
}

/** What a package brings keeps its licence beside it, under the name of the package. */
function copyName(file) {
  const [, name] = file.match(/^node_modules\/([^/]+)\//) ?? [];
  return name ? join(name, basename(file)) : basename(file);
}

/** npm does this for whoever installs the package; here the compiler has written plain files. */
function makeCommandsExecutable() {
  const { bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const file of Object.values(bin)) chmodSync(join(root, file), 0o755);
}

// ---- native addon

/**
 * built: up to date · stale: to be built now · failed: these very sources did not build before · none: no tools or no
 * sources. `notice` says in one line what that means for the user.
 */
function nativeState() {
  if (!existsSync(join(root, 'CMakeLists.txt'))) return { kind: 'none' };
  const missing = missingBuildTools();
  if (missing.length > 0 && addonFile() === null) {
    const instead = prebuiltFor() ? 'using the prebuilt addon' : 'running on the JavaScript backend';
    return { kind: 'none', notice: `no C++ compiler (not on PATH: ${missing.join(', ')}): ${instead}` };
  }
  const hash = hashOf(
    NATIVE_SOURCES,
    process.platform,
    process.arch,
    process.env.CXX ?? '',
    process.env.LORAKEET_CUDA ?? '',
  );
  const stamp = readStamp('native');
  if (stamp?.hash === hash && !stamp.ok) {
    return {
      kind: 'failed',
      hash,
      notice: `the native build failed earlier (${relative(root, nativeLog)}): running on the JavaScript backend; \`npm run build:native\` tries again`,
    };
  }
  if (stamp?.hash === hash && addonFile() !== null) return { kind: 'built', hash };
  if (missing.length > 0) {
    return {
      kind: 'none',
      notice: `the native addon in build/ is older than its sources, and there is no C++ compiler (not on PATH: ${missing.join(', ')})`,
    };
  }
  return { kind: 'stale', hash };
}

const nativeLog = join(scratch, 'native-build.log');

function buildNative({ retry = false } = {}) {
  const state = nativeState();
  const build = state.kind === 'stale' || (retry && state.kind === 'failed');
  if (!build) {
    if (state.notice) console.log(state.notice);
    return state.kind === 'built' || !cpuIsRequired();
  }
  const built = timed('building the native addon (cmake-js)', () => {
    const status = run(process.execPath, [packageBin('cmake-js'), 'compile', ...cmakeOptions()], { log: nativeLog });
    return status === 0 && addonFile() !== null;
  });
  writeStamp('native', state.hash, built);
  if (built) return true;
  // an addon of older sources must not be loaded in place of the one that failed
  const stale = addonFile();
  if (stale) rmSync(stale, { force: true });
  reportFailure('the native build', nativeLog, (lines) => lines.slice(-15));
  if (cpuIsRequired()) return false;
  console.error('setup: running on the JavaScript backend');
  return true;
}

function cpuIsRequired() {
  if (!isRequired('cpu')) return false;
  console.error('setup: LORAKEET_REQUIRE lists cpu, so it ends here');
  return true;
}

function cmakeOptions() {
  const options = ['--parallel', String(availableParallelism())];
  if (process.env.LORAKEET_CUDA) options.push(`--CDLORAKEET_CUDA=${process.env.LORAKEET_CUDA}`);
  return options;
}

/** What cmake-js needs and does not find; on Windows CMake itself looks for Visual Studio. */
function missingBuildTools() {
  const missing = findOnPath('cmake') ? [] : ['cmake'];
  if (process.platform === 'win32') return missing;
  if (!findOnPath('g++') && !findOnPath('clang++')) missing.push('g++ or clang++');
  if (!findOnPath('make') && !findOnPath('ninja')) missing.push('make or ninja');
  return missing;
}

function addonFile() {
  return firstNodeFile('build/Release');
}

function prebuiltFor() {
  return firstNodeFile(`prebuilds/${process.platform}-${process.arch}`);
}

function firstNodeFile(folder) {
  const full = join(root, folder);
  const name = existsSync(full) && readdirSync(full).find((file) => file.endsWith('.node'));
  return name ? join(full, name) : null;
}

/** Builds the addon even where these very sources failed before; true when it is there and up to date afterwards. */
export function setupNative() {
  return withLock(() => installDependencies() && buildNative({ retry: true }) && nativeState().kind === 'built');
}

// ---- telling

function timed(what, work) {
  const start = performance.now();
  console.log(`setup: ${what} …`);
  const ok = work();
  console.log(`setup: ${ok ? 'done' : 'failed'} after ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return ok;
}

/** `telling` picks the lines that say what went wrong: npm's first ones, a compiler's last ones. */
function reportFailure(what, log, telling) {
  const lines = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '');
  console.error(`setup: ${what} failed (all of it: ${relative(root, log)})`);
  console.error(
    telling(lines)
      .map((line) => `  ${line}`)
      .join('\n'),
  );
}
