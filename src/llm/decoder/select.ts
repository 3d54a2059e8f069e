/** Which decoder to use: the only place that names the concrete ones. */
import { requireOneOf } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { DecoderBackend } from './contract.js';
import { jsDecoder } from './js/model.js';

export const DECODER_NAMES = ['js'] as const satisfies readonly DecoderBackend['name'][];
export type DecoderName = (typeof DECODER_NAMES)[number];

export interface DecoderSelection {
  backend: DecoderBackend;
  /** Why it was this one: asked for by whom, or what the faster ones lacked. */
  reason: string;
}

/** Throws ERR_BACKEND_UNAVAILABLE, naming the cause, if it cannot be had here. */
function open(_name: DecoderName): DecoderBackend {
  return jsDecoder;
}

/** As selectBackend of the kernels, with the same environment variable. */
export function selectDecoder(request: DecoderName | 'auto' = 'auto'): DecoderSelection {
  requireOneOf('backend', request, ['auto', ...DECODER_NAMES]);
  if (request !== 'auto') return { backend: open(request), reason: `asked for: ${request}` };

  const forced = process.env.LORAKEET_BACKEND;
  if (forced && forced !== 'auto') {
    const name = requireOneOf('LORAKEET_BACKEND', forced, DECODER_NAMES);
    return { backend: open(name), reason: `LORAKEET_BACKEND=${name}` };
  }

  const passedOver: string[] = [];
  for (const name of DECODER_NAMES) {
    try {
      return { backend: open(name), reason: passedOver.length ? passedOver.join('; ') : `${name} is the fastest` };
    } catch (error) {
      if (!(error instanceof LorakeetError)) throw error;
      passedOver.push(error.message);
    }
  }
  throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', passedOver.join('; '));
}
