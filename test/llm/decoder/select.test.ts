import { afterEach, describe, expect, it, vi } from 'vitest';
import { nativeInfo } from '../../../src/kernels/native.js';
import { selectDecoder } from '../../../src/llm/decoder/select.js';

describe('the choice of a decoder', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('takes the fastest there is, and says what the others lacked', () => {
    vi.stubEnv('LORAKEET_BACKEND', '');
    const { backend, reason } = selectDecoder();
    expect(backend.name).toBe(nativeInfo().available ? 'cpu' : 'js');
    expect(reason).toContain('cuda');
  });

  it('takes what the environment names', () => {
    vi.stubEnv('LORAKEET_BACKEND', 'js');
    expect(selectDecoder()).toMatchObject({ backend: { name: 'js' }, reason: 'LORAKEET_BACKEND=js' });
  });

  it('gives what is asked for by name, or says why not', () => {
    expect(selectDecoder('js').backend.name).toBe('js');
    expect(() => selectDecoder('cuda')).toThrow(expect.objectContaining({ code: 'ERR_BACKEND_UNAVAILABLE' }));
    expect(() => selectDecoder('gpu' as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_CONFIG' }));
  });
});
