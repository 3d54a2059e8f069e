/**
 * Packs the tarball and installs it where a stranger would: in an empty folder, with no compiler, CMake or Python on PATH,
 * with install scripts blocked and once more without that. The native backend must load from the shipped prebuilds and
 * learn; without its prebuilds the package must fall back to JavaScript and say why. The command must start with nothing but
 * the package's own dependencies, as npm links it and through npm exec.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { capture, findOnPath, npmCommand, root, scratch } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

const MUST_CONTAIN = [
  /^dist\/index\.js$/,
  /^dist\/index\.d\.ts$/,
  /^dist\/cli\/main\.js$/,
  /^dist\/service\/dashboard\/page\/index\.html$/,
  /^dist\/service\/dashboard\/page\/style\.css$/,
  /^dist\/service\/dashboard\/page\/main\.js$/,
  /^dist\/service\/dashboard\/page\/uplot\/uPlot\.iife\.min\.js$/,
  /^dist\/service\/dashboard\/page\/uplot\/LICENSE$/,
  new RegExp(`^prebuilds/${process.platform}-${process.arch}/.*\\.node$`),
  /^native\/include\/lorakeet\/kernels\.h$/,
  /^native\/cpu\/.*\.cc$/,
  /^binding\/.*\.cc$/,
  /^cmake\//,
  /^CMakeLists\.txt$/,
  /^(LICENSE|README\.md|CHANGELOG\.md)$/,
];
const MUST_NOT_CONTAIN = /^(data|models|test|bench|examples|scripts|build|src|docs|\.[^/]+)\/|\.stamp\.json$|\.tgz$/;

/** A PATH with Node, npm and a shell, and nothing that could compile. */
function barePath(folder) {
  mkdirSync(folder);
  for (const command of ['node', 'npm', 'sh']) {
    const target = command === 'node' ? process.execPath : findOnPath(command);
    symlinkSync(target, join(folder, command));
  }
  return folder;
}

function pack() {
  const destination = join(scratch, 'package');
  rmSync(destination, { recursive: true, force: true });
  mkdirSync(destination, { recursive: true });
  const [command, args] = npmCommand(['pack', '--json', '--ignore-scripts', '--pack-destination', destination]);
  const { status, stdout, output } = capture(command, args);
  if (status !== 0) throw new Error(`npm pack failed:\n${output}`);
  const report = JSON.parse(stdout);
  const packed = Array.isArray(report) ? report[0] : Object.values(report)[0];
  return { tarball: join(destination, readdirSync(destination)[0]), packed };
}

function checkContents({ files, size, unpackedSize }) {
  const paths = files.map((file) => file.path);
  for (const pattern of MUST_CONTAIN) {
    if (!paths.some((path) => pattern.test(path))) throw new Error(`the tarball lacks ${pattern}`);
  }
  const strays = paths.filter((path) => MUST_NOT_CONTAIN.test(path));
  if (strays.length > 0) throw new Error(`the tarball contains ${strays.slice(0, 5).join(', ')}`);
  const kiB = (bytes) => `${(bytes / 1024).toFixed(0)} KiB`;
  console.log(`tarball: ${paths.length} files, ${kiB(size)} packed, ${kiB(unpackedSize)} unpacked`);
  for (const file of files.filter(({ path }) => path.startsWith('prebuilds/')))
    console.log(`  ${file.path}: ${kiB(file.size)}`);
}

/** Run inside the installed package's folder: learns one step and prints which backend did it, from which file. */
const PROGRAM = `
  import { createRequire } from 'node:module';
  import { createAdapterPool } from 'lorakeet';
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  const pool = createAdapterPool({ rank: 4, embeddingDim: 16, logger: silent });
  const content = new Float32Array(16).fill(0.25);
  const report = await pool.learn([{ userId: 'u', contentEmbedding: content, reward: 0.5 }]);
  const { name, device, reason } = pool.backend;
  const addon = Object.keys(createRequire(import.meta.url).cache).find((file) => file.endsWith('.node'));
  console.log(JSON.stringify({ name, device, reason, addon, updates: report.updates, loss: report.meanLoss }));
  await pool.close();
`;

function install(folder, tarball, env, flags) {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
  writeFileSync(join(folder, 'program.js'), PROGRAM);
  const [command, args] = npmCommand(['install', '--prefer-offline', '--no-audit', '--no-fund', ...flags, tarball]);
  const { status, output } = capture(command, args, { cwd: folder, env });
  if (status !== 0) throw new Error(`npm install ${flags.join(' ')} failed:\n${output}`);
}

function runProgram(folder, env) {
  const { status, stdout, output } = capture(process.execPath, ['program.js'], { cwd: folder, env });
  if (status !== 0) throw new Error(`the program failed:\n${output}`);
  const result = JSON.parse(stdout);
  if (result.updates !== 1 || !(result.loss > 0)) throw new Error(`the package did not learn: ${stdout}`);
  return result;
}

function expectNative(how, folder, env) {
  const { name, device, reason, addon } = runProgram(folder, env);
  if (name === 'js') throw new Error(`${how}: expected a native backend, got ${name}: ${reason}`);
  const shipped = join('node_modules', 'lorakeet', 'prebuilds');
  if (!addon?.includes(shipped)) throw new Error(`${how}: expected an addon from ${shipped}, got ${addon}`);
  console.log(`${how}: ${name} (${device}) from ${addon.slice(addon.indexOf(shipped))}`);
}

function expectFallback(how, folder, env) {
  const { name, reason } = runProgram(folder, env);
  if (name !== 'js' || !reason) throw new Error(`${how}: expected js with a reason, got ${name}: ${reason}`);
  console.log(`${how}: ${name}: ${reason}`);
}

/** `lorakeet` as npm has linked it, without any optional package. */
function expectCommand(folder, env) {
  const linked = join(folder, 'node_modules', '.bin', 'lorakeet');
  const commands = [[linked, []], npmCommand(['exec', '--no', '--', 'lorakeet'])];
  for (const [command, args] of commands) {
    const { status, stdout, output } = capture(command, [...args, 'doctor', '--json'], { cwd: folder, env });
    if (status !== 0) throw new Error(`lorakeet doctor failed:\n${output}`);
    const { ok, checks } = JSON.parse(stdout);
    const found = checks.find(({ name }) => name === 'package croner');
    const expected = 'npm install croner';
    if (!ok || found?.advice !== expected)
      throw new Error(`expected ${expected} from lorakeet doctor, got:\n${stdout}`);
  }
  console.log(`lorakeet doctor: starts without any optional package, and says how to get them`);
}

function main() {
  if (!setup()) return 1;
  if (!existsSync(join(root, 'prebuilds', `${process.platform}-${process.arch}`))) {
    console.error('there are no prebuilds for this machine: run `npm run build:prebuilds` first');
    return 1;
  }
  const { tarball, packed } = pack();
  checkContents(packed);
  const temporary = mkdtempSync(join(tmpdir(), 'lorakeet-package-'));
  try {
    const keep = ['HOME', 'USERPROFILE', 'SystemRoot', 'TEMP', 'npm_execpath'];
    const env = Object.fromEntries(keep.filter((key) => process.env[key]).map((key) => [key, process.env[key]]));
    env.PATH = barePath(join(temporary, 'bin'));
    const blocked = join(temporary, 'blocked');
    install(blocked, tarball, env, ['--ignore-scripts']);
    expectNative('install scripts blocked', blocked, env);
    const usual = join(temporary, 'usual');
    install(usual, tarball, env, []);
    expectNative('usual install', usual, env);
    expectCommand(usual, env);
    rmSync(join(usual, 'node_modules', 'lorakeet', 'prebuilds'), { recursive: true });
    expectFallback('without prebuilds', usual, env);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return 0;
}

process.exitCode = main();
