/** serve and work: the service itself, and a worker beside it. */
import type { Command } from 'commander';
import type { LoadedConfig } from '../../service/config/load.js';
import type { Context } from '../context.js';
import { addConfigOptions, type ConfigOptions, loadLocalConfig } from '../local-config.js';
import type { Act } from '../program.js';
import { integer } from '../values.js';

interface ServeOptions extends ConfigOptions {
  host?: string;
  port?: number;
  model?: string;
  storage?: string;
  backend?: string;
}

export function addServeCommands(program: Command, act: Act): void {
  const shared = (command: Command) =>
    addConfigOptions(command)
      .option('--model <folder>', 'of the base model (model.folder)')
      .option('--storage <folder>', 'of everything that is kept on this machine (storage.folder)')
      .option('--backend <name>', 'what computes: auto, js, cpu or cuda (model.backend)');

  shared(
    program
      .command('serve')
      .description('the learning engine service, until it is interrupted; the log is its output')
      .option('--host <address>', 'to listen on (service.host)')
      .option('--port <number>', 'to listen on; 0 takes a free one (service.port)', integer(0, 65_535)),
  ).action(
    act<ServeOptions>(async (context, options) => {
      const { config } = await loadOf(context, options);
      const { openLearningService, openServiceLogger, serve } = await import('../../service/index.js');
      const logger = await openServiceLogger(config, { write: (line) => context.surroundings.stdout.write(line) });
      const service = await openLearningService(config, { logger });
      try {
        const served = await serve(service, config, { logger, signals: false });
        await interrupted(context.signal);
        logger.info('shutting down');
        await served.close();
      } catch (error) {
        await service.close();
        throw error;
      }
    }),
  );

  shared(
    program
      .command('work')
      .description('a worker beside services that share their stores: takes jobs until it is interrupted'),
  ).action(
    act<ServeOptions>(async (context, options) => {
      const { config } = await loadOf(context, options);
      const { openLearningWorker, openServiceLogger } = await import('../../service/index.js');
      const logger = await openServiceLogger(config, { write: (line) => context.surroundings.stdout.write(line) });
      const worker = await openLearningWorker(config, { logger });
      logger.info('working; SIGINT or SIGTERM ends it');
      await interrupted(context.signal);
      logger.info('shutting down');
      await worker.close();
    }),
  );
}

function loadOf(context: Context, options: ServeOptions): Promise<LoadedConfig> {
  const { host, port, model, storage, backend } = options;
  return loadLocalConfig(context, options, {
    'service.host': host,
    'service.port': port,
    'model.folder': model,
    'storage.folder': storage,
    'model.backend': backend,
    'logging.format': context.isJson ? 'json' : undefined,
  });
}

/** Resolves when the signal has come. */
function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}
