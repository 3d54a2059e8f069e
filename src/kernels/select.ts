/** Which backend to use: the only place that names the concrete ones. */
import { requireOneOf } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { BACKEND_NAMES, type BackendName, type KernelBackend } from './contract.js';
import { jsBackend } from './js.js';
import { createNativeBackend } from './native.js';

export interface Selection {
  backend: KernelBackend;
  /** Why it was this one: asked for by whom, or what the faster ones lacked. */
  reason: string;
}

/** Throws ERR_BACKEND_UNAVAILABLE, naming the cause, if the backend cannot be had here. */
function open(name: BackendName): KernelBackend {
  return name === 'js' ? jsBackend : createNativeBackend({ device: name });
}

/**
 * `'auto'` takes the first that works of cuda, cpu and js; the environment variable LORAKEET_BACKEND, if set, decides in
 * its place. A backend asked for by name is used or ERR_BACKEND_UNAVAILABLE says why it cannot be.
 */
export function selectBackend(request: BackendName | 'auto' = 'auto'): Selection {
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
      return { backend, reason: passedOver.length ? passedOver.join('; ') : `${name} is the fastest` };
    } catch (error) {
      if (!(error instanceof LorakeetError)) throw error;
      passedOver.push(error.message);
    }
  }
  throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', passedOver.join('; '));
}
