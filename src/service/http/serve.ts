/** The service on a port, until it is told to end. */
import type { AddressInfo } from 'node:net';
import { LorakeetError } from '../../errors.js';
import { consoleLogger } from '../../logger.js';
import { isLoopback } from '../config/forms.js';
import type { LearningService } from '../engine/operations.js';
import { buildApp, type HttpAppOptions, type HttpConfig } from './app.js';

export interface ServeOptions extends HttpAppOptions {
  /** Whether SIGTERM and SIGINT end it, a second one at once; default true. */
  signals?: boolean;
}

export interface ServedService {
  /** Such as http://127.0.0.1:8003. */
  url: string;
  /**
   * Takes no more requests, waits for those under way for service.shutdownTimeoutSeconds, ends those that are left, then closes
   * the service. Whoever calls it again waits for the same.
   */
  close(): Promise<void>;
  /** Resolves when all of that is done, whoever began it. */
  closed: Promise<void>;
}

/** For answers that say that it is over. */
const LAST_WORDS_MS = 1000;
const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Listens on service.host and service.port. Rejects with ERR_INVALID_CONFIG for an address that cannot be had, or that others
 * can reach while there are no tokens, and with ERR_PACKAGE_MISSING; the service is not closed then.
 */
export async function serve(
  service: LearningService,
  config: HttpConfig,
  options: ServeOptions = {},
): Promise<ServedService> {
  const { logger = consoleLogger, signals = true } = options;
  const { tokens, port, shutdownTimeoutSeconds } = config.service;
  const host = config.service.host ?? (tokens.length > 0 ? '0.0.0.0' : '127.0.0.1');
  if (tokens.length === 0 && !isLoopback(host)) {
    const expected = 'a loopback address as long as service.tokens is empty';
    throw new LorakeetError('ERR_INVALID_CONFIG', `service.host: got ${host}, expected ${expected}`);
  }
  const { app, running } = await buildApp(service, config, { logger });
  try {
    // one address: fastify would take ::1 as well, whose connections cannot be ended from here
    await app.listen({ host: host.toLowerCase() === 'localhost' ? '127.0.0.1' : host, port });
  } catch (cause) {
    await app.close();
    const text = `service.port: cannot listen on ${host}, port ${port} (${(cause as Error).message})`;
    throw new LorakeetError('ERR_INVALID_CONFIG', text, { cause });
  }
  const url = urlOf(app.server.address() as AddressInfo);
  logger.info(`listening on ${url}${tokens.length === 0 ? ', for this machine only, without tokens' : ''}`);

  const shutDown = async () => {
    let timer = setTimeout(() => {
      logger.warn(`requests are still under way after ${shutdownTimeoutSeconds} s, and are ended`);
      running.endAll();
      timer = setTimeout(() => app.server.closeAllConnections(), LAST_WORDS_MS);
    }, shutdownTimeoutSeconds * 1000);
    try {
      await app.close();
    } finally {
      clearTimeout(timer);
      await service.close();
    }
  };
  let tell = (_done: Promise<void>) => {};
  const closed = new Promise<void>((done) => {
    tell = done;
  });
  closed.catch(() => {}); // whoever called close() hears of it
  let finished: Promise<void> | undefined;
  const close = () => {
    if (!finished) {
      finished = shutDown().finally(() => stopListening());
      tell(finished);
    }
    return finished;
  };
  const stopListening = signals ? onSignals(close, (message) => logger.info(message)) : () => {};
  return { url, close, closed };
}

/** The first ends it in order, the second at once. */
function onSignals(close: () => Promise<void>, say: (message: string) => void): () => void {
  let asked = false;
  const handlers = Object.entries(SIGNALS).map(([name, number]) => {
    const handle = () => {
      if (asked) process.exit(128 + number);
      asked = true;
      say(`${name}: shutting down`);
      close().catch(() => {
        process.exitCode = 1;
      });
    };
    process.on(name, handle);
    return { name, handle };
  });
  return () => {
    for (const { name, handle } of handlers) process.off(name, handle);
  };
}

function urlOf({ address, port, family }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
