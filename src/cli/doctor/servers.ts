/** Who answers: model servers, and the service itself. */
import type { ServiceConfig } from '../../service/config/keys.js';
import type { Context } from '../context.js';
import { type Check, probe } from './check.js';

const TIMEOUT_MS = 5000;

/** Whatever a model server answers, it is there. */
export async function checkServing({ signal }: Context, { serving }: ServiceConfig): Promise<Check[]> {
  if (serving.driver === 'in-process') {
    return [{ name: 'serving', status: 'ok', detail: 'in the process of the service' }];
  }
  const look = async (url: string) => {
    const response = await fetch(url, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      redirect: 'manual',
    }).catch((error) => {
      throw new Error(`${url}: ${(error as { cause?: { code?: string } }).cause?.code ?? error.message}`, {
        cause: error,
      });
    });
    await response.body?.cancel();
    return `${url} answers`;
  };
  const name = `serving (${serving.driver})`;
  return Promise.all(
    serving.urls.map((url) => probe(name, () => look(url), 'start that server, or mend serving.urls')),
  );
}

/** A service that runs nowhere is missing only where somebody said where it is. */
export async function checkService(context: Context): Promise<Check> {
  const client = context.client();
  const look = async () => {
    const { status, version } = await client.health({ signal: context.signal, timeoutMs: TIMEOUT_MS });
    return `${client.baseUrl} is ${status} (${version})`;
  };
  const check = await probe('service', look, 'start it with `lorakeet serve`, or say where it is with --base-url');
  return check.status === 'missing' && !context.namesService ? { ...check, status: 'note' } : check;
}
