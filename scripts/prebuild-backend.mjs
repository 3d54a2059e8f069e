/**
 * prebuildify calls this as if it were node-gyp (`rebuild --target=… --arch=… --release`), in the folder whose
 * build/Release it will look into; cmake-js does the work. LORAKEET_TOOLCHAIN names a CMake toolchain file to cross-compile.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { packageBin, root, run } from './lib/process.mjs';

const arch = process.argv.find((argument) => argument.startsWith('--arch='))?.slice('--arch='.length);
const options = [
  '--directory',
  root,
  '--out',
  join(process.cwd(), 'build'),
  '--parallel',
  String(availableParallelism()),
];
if (arch) options.push('--arch', arch);
if (process.env.LORAKEET_TOOLCHAIN) options.push(`--CDCMAKE_TOOLCHAIN_FILE=${process.env.LORAKEET_TOOLCHAIN}`);
if (process.env.LORAKEET_CUDA) options.push(`--CDLORAKEET_CUDA=${process.env.LORAKEET_CUDA}`);

process.exitCode = run(process.execPath, [packageBin('cmake-js'), 'rebuild', '--config', 'Release', ...options]);
