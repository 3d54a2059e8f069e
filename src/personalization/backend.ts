/** The backend of an engine or pool, and the line that says so. */
import type { KernelBackend } from '../kernels/contract.js';
import { selectBackend } from '../kernels/select.js';
import type { ResolvedConfig } from './options.js';
import type { BackendInfo } from './types.js';

/** Throws ERR_BACKEND_UNAVAILABLE if the configuration names a backend that cannot be used here. */
export function openBackend({ backend: request, logger, stateDtype }: ResolvedConfig): {
  backend: KernelBackend;
  info: Readonly<BackendInfo>;
} {
  const { backend, reason } = selectBackend(request, { stateDtype });
  const { name, device } = backend;
  // nobody asked for it, and it is many times slower
  const fellBack = name === 'js' && request === 'auto' && !process.env.LORAKEET_BACKEND;
  logger[fellBack ? 'warn' : 'debug'](`lorakeet: computing on ${name} (${device}): ${reason}`);
  return { backend, info: Object.freeze({ name, device, reason }) };
}
