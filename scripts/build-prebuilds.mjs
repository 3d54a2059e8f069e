/**
 * `npm run build:prebuilds`: the stripped addon for this platform and, on Linux x64 with the cross compiler, for Linux arm64,
 * in prebuilds/<platform>-<arch>/ under names that node-gyp-build finds. A CUDA module that was built lies beside its addon.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findOnPath, isRequired, root, scratch } from './lib/process.mjs';
import { setup } from './lib/setup.mjs';

const ELF_MACHINE = { x64: 0x3e, arm64: 0xb7 };

const host = { platform: process.platform, arch: process.arch, stripBin: 'strip', env: {} };
const linuxArm64 = {
  platform: 'linux',
  arch: 'arm64',
  compiler: 'aarch64-linux-gnu-g++',
  stripBin: 'aarch64-linux-gnu-strip',
  env: { LORAKEET_TOOLCHAIN: join(root, 'cmake', 'linux-arm64.cmake'), LORAKEET_CUDA: 'OFF' },
};

async function build({ platform, arch, stripBin, env }) {
  // loaded here because `npm ci` may only just have installed it
  const prebuildify = promisify(createRequire(import.meta.url)('prebuildify'));
  const tuple = `${platform}-${arch}`;
  const work = join(scratch, 'prebuild', tuple);
  mkdirSync(work, { recursive: true });
  rmSync(join(root, 'prebuilds', tuple), { recursive: true, force: true });
  Object.assign(process.env, env);
  await prebuildify({
    name: 'lorakeet',
    platform,
    arch,
    cwd: work,
    out: root,
    napi: true,
    strip: true,
    stripBin,
    // an Alpine machine must fall back to JavaScript with a reason instead of failing to link
    tagLibc: platform === 'linux',
    nodeGyp: `"${process.execPath}" "${join(root, 'scripts', 'prebuild-backend.mjs')}"`,
    shell: true,
  });
  for (const key of Object.keys(env)) delete process.env[key];
  describe(tuple, arch);
}

/** Prints what was made, and fails where it is for another processor than its folder says. */
function describe(tuple, arch) {
  const folder = join(root, 'prebuilds', tuple);
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    const isElf = bytes.readUInt32BE(0) === 0x7f454c46;
    if (isElf && bytes.readUInt16LE(18) !== ELF_MACHINE[arch]) throw new Error(`${tuple}/${name} is not for ${arch}`);
    const versions = [...bytes.toString('latin1').matchAll(/GLIBC_2\.(\d+)/g)].map((match) => Number(match[1]));
    const needs = versions.length > 0 ? `, needs glibc 2.${Math.max(...versions)}` : '';
    console.log(`prebuilds/${tuple}/${name}: ${(bytes.length / 1024).toFixed(0)} KiB${needs}`);
  }
}

async function main() {
  if (!existsSync(join(root, 'node_modules')) && !setup()) return 1;
  await build(host);
  if (process.platform !== 'linux' || process.arch !== 'x64') return 0;
  if (findOnPath(linuxArm64.compiler)) {
    await build(linuxArm64);
    return 0;
  }
  console.log(`linux-arm64 skipped: ${linuxArm64.compiler} is not on PATH`);
  return isRequired('linux-arm64') ? 1 : 0;
}

process.exitCode = await main();
