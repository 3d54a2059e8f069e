import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { nativeInfo } from '../../../src/kernels/native.js';
import { createNativeDecoder } from '../../../src/llm/decoder/native/model.js';
import { selectDecoder } from '../../../src/llm/decoder/select.js';
import { isRequired } from '../../support/coverage-report.js';
import { root } from '../../support/imports.js';

/** Why there is no GPU here; '' where there is one. */
function cudaReason(): string {
  try {
    createNativeDecoder({ device: 'cuda' });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('the choice of a decoder', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('takes the fastest there is, and says what the others lacked', () => {
    vi.stubEnv('LORAKEET_BACKEND', '');
    const { backend, reason } = selectDecoder();
    const missing = cudaReason();
    expect(backend.name).toBe(missing === '' ? 'cuda' : nativeInfo().available ? 'cpu' : 'js');
    expect(reason).toContain(missing || 'cuda is the fastest');
  });

  it('takes what the environment names', () => {
    vi.stubEnv('LORAKEET_BACKEND', 'js');
    expect(selectDecoder()).toMatchObject({ backend: { name: 'js' }, reason: 'LORAKEET_BACKEND=js' });
  });

  it('gives what is asked for by name, or says why not', (test) => {
    expect(selectDecoder('js').backend.name).toBe('js');
    expect(() => selectDecoder('gpu' as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_CONFIG' }));
    const message = cudaReason();
    if (message === '') test.skip('there is a GPU');
    expect(message).toMatch(/^backend cuda: ./);
    expect(() => selectDecoder('cuda')).toThrow(expect.objectContaining({ code: 'ERR_BACKEND_UNAVAILABLE', message }));
  });
});

/** In processes of their own, because a process opens one CUDA module once. */
describe('the choice of a decoder on other machines', () => {
  const shim = join(root, 'build/Release/liblorakeet_cuda_host.so');
  const module = join(root, 'build/Release/liblorakeet_cuda.so');
  const script = `
    import { selectDecoder } from ${JSON.stringify(join(root, 'dist/llm/decoder/select.js'))};
    const { backend, reason } = selectDecoder();
    let byName = '';
    try { selectDecoder('cuda'); } catch ({ code, message }) { byName = code + ' ' + message; }
    console.log(JSON.stringify({ name: backend.name, reason, byName }));`;

  async function choose(variables: Record<string, string>) {
    const env = { ...process.env, LORAKEET_BACKEND: '', ...variables };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { env });
    return JSON.parse(stdout) as { name: string; reason: string; byName: string };
  }

  it.skipIf(!existsSync(shim) && !isRequired('cpu'))('with a GPU, it is the GPU', async () => {
    expect(await choose({ LORAKEET_CUDA_MODULE: shim })).toEqual({
      name: 'cuda',
      reason: 'cuda is the fastest',
      byName: '',
    });
  });

  it.skipIf(!existsSync(shim) && !isRequired('cpu'))('with a GPU but without cuBLAS, it says so', async () => {
    const { name, reason, byName } = await choose({ LORAKEET_CUDA_MODULE: shim, LORAKEET_SHIM_NO_BLAS: '1' });
    expect({ name, reason }).toEqual({ name: 'cpu', reason: expect.stringContaining('cuBLAS cannot be opened') });
    expect(byName).toBe(`ERR_BACKEND_UNAVAILABLE ${reason}`);
  });

  it.skipIf(!nativeInfo().available)('without the module, it says so', async () => {
    const { name, reason } = await choose({ LORAKEET_CUDA_MODULE: '/nowhere/liblorakeet_cuda.so' });
    expect({ name, reason }).toEqual({ name: 'cpu', reason: expect.stringContaining('was not built') });
  });

  it.skipIf(!existsSync(module))('without a driver or a GPU, the module loads and tells the cause', async () => {
    const { name, byName } = await choose({ LORAKEET_CUDA_MODULE: module, CUDA_VISIBLE_DEVICES: '-1' });
    expect(name).toBe('cpu');
    expect(byName).toMatch(/^ERR_BACKEND_UNAVAILABLE backend cuda: .*CUDA/);
  });
});
