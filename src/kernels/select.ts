/** Which backend to use: the only place that names the concrete ones. */
import { requireOneOf } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { BACKEND_NAMES, type BackendName, type KernelBackend, type PoolConfig } from './contract.js';
import { jsBackend } from './js.js';
import { createNativeBackend } from './native.js';

export interface Selection {
  backend: KernelBackend;
  /** Why it was this one: asked for by whom, or what the faster ones lacked. */
  reason: string;
}

/** What a backend must be able to do. */
export type Needs = Partial<Pick<PoolConfig, 'stateDtype'>>;

/** Throws ERR_BACKEND_UNAVAILABLE, naming the cause, if the backend cannot be had here or lacks what is needed. */
function open(name: BackendName, { stateDtype = 'fp32' }: Needs): KernelBackend {
  const backend = name === 'js' ? jsBackend : createNativeBackend({ device: name });
  if (!backend.stateDtypes.includes(stateDtype)) {
    throw new LorakeetError(
      'ERR_BACKEND_UNAVAILABLE',
      `backend ${name}: it has no pools with stateDtype ${stateDtype}`,
    );
  }
  return backend;
}

/**
 * `'auto'` takes the first that works of cuda, cpu and js; the environment variable LORAKEET_BACKEND, if set, decides in
 * its place. A backend asked for by name is used or ERR_BACKEND_UNAVAILABLE says why it cannot be.
 */
export function selectBackend(request: BackendName | 'auto' = 'auto', needs: Needs = {}): Selection {
  requireOneOf('backend', request, ['auto', ...BACKEND_NAMES]);
  if (request !== 'auto') return { backend: open(request, needs), reason: `asked for: ${request}` };

  const forced = process.env.LORAKEET_BACKEND;
  if (forced && forced !== 'auto') {
    const name = requireOneOf('LORAKEET_BACKEND', forced, BACKEND_NAMES);
    return { backend: open(name, needs), reason: `LORAKEET_BACKEND=${name}` };
  }

  const passedOver: string[] = [];
  for (const name of BACKEND_NAMES) {
    try {
      const backend = open(name, needs);
      return { backend, reason: passedOver.length ? passedOver.join('; ') : `${name} is the fastest` };
    } catch (error) {
      if (!(error instanceof LorakeetError)) throw error;
      passedOver.push(error.message);
    }
  }
  throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', passedOver.join('; '));
}
