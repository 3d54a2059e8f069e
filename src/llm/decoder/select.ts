/** Which decoder to use: the only place that names the concrete ones. */
import { requireOneOf } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { BACKEND_NAMES, type BackendName } from '../../kernels/contract.js';
import type { DecoderBackend } from './contract.js';
import { jsDecoder } from './js/model.js';
import { createNativeDecoder } from './native/model.js';

export type DecoderName = BackendName;

export interface DecoderSelection {
  backend: DecoderBackend;
  /** Why it was this one: asked for by whom, or what the faster ones lacked. */
  reason: string;
}

/** Throws ERR_BACKEND_UNAVAILABLE, naming the cause, if the backend cannot be had here. */
function open(name: DecoderName): DecoderBackend {
  return name === 'js' ? jsDecoder : createNativeDecoder({ device: name });
}

/**
 * As selectBackend() of the adapter kernels: `'auto'` takes the first that works of cuda, cpu and js, LORAKEET_BACKEND
 * decides in its place, and a backend asked for by name is used or ERR_BACKEND_UNAVAILABLE says why it cannot be.
 */
export function selectDecoder(request: DecoderName | 'auto' = 'auto'): DecoderSelection {
  requireOneOf('backend', request, ['auto', ...BACKEND_NAMES]);
  if (request !== 'auto') return { backend: open(request), reason: `asked for: ${request}` };
  const forced = process.env.LORAKEET_BACKEND;
  if (forced && forced !== 'auto') {
    const name = requireOneOf('LORAKEET_BACKEND', forced, BACKEND_NAMES);
    return { backend: open(name), reason: `LORAKEET_BACKEND=${name}` };
  }
  const passedOver: string[] = [];
  for (const name of BACKEND_NAMES) {
    try {
      const backend = open(name);
      return { backend, reason: passedOver.join('; ') || `${name} is the fastest` };
    } catch (error) {
      if (!(error instanceof LorakeetError)) throw error;
      passedOver.push(error.message);
    }
  }
  throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', passedOver.join('; '));
}
