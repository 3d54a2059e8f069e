/** train, train-jsonl, fisher: jobs of the service. */
import type { Command } from 'commander';
import type { FisherRequest, TrainFileRequest, TrainRequest } from '../../service/engine/operations.js';
import type { Act } from '../program.js';
import { integer, number } from '../values.js';
import { printJob } from '../waiting.js';

interface Waiting {
  wait?: boolean;
}

const WAIT = ['--wait', 'until the job has ended, with its progress; the exit code is that of its result'] as const;
const KEY = ['--idempotency-key <key>', 'a request with the same key makes no second job'] as const;
const LAMBDA = ['--ewc-lambda <number>', 'how strongly to hold on to what was learnt: 100 to 1000, or 0'] as const;
const FORCE = ['--force', 'also with too few samples'] as const;

export function addTrainingCommands(program: Command, act: Act): void {
  program
    .command('train')
    .description('learn from the feedback of the last days; publishes a version if there is enough of it')
    .option('--days <number>', 'of how many days', integer(1, 3650))
    .option(LAMBDA[0], LAMBDA[1], number({ max: 1000 }))
    .option(...FORCE)
    .option('--dataset-id <name>', 'what the version says that it was trained on')
    .option('--author <name>', 'and by whom')
    .option(...KEY)
    .option(...WAIT)
    .action(
      act<TrainRequest & Waiting>(
        async (context, { days, ewcLambda, force, datasetId, author, idempotencyKey, wait }) => {
          const client = context.client();
          const request = { days, ewcLambda, force, datasetId, author, idempotencyKey };
          return printJob(context, client, await client.train(request, context), wait);
        },
      ),
    );

  program
    .command('train-jsonl')
    .description('learn from a JSONL file that the service can read')
    .requiredOption('--dataset <path>', 'the file, as the service sees it, below one of service.allowedFolders')
    .option('--learning-rate <number>', 'the highest', number({ above: 0, max: 1 }))
    .option('--epochs <number>', 'times that every example is learnt from', integer(1, 1000))
    .option('--batch-size <number>', 'examples that go through the model together', integer(1, 65_536))
    .option(LAMBDA[0], LAMBDA[1], number({ max: 1000 }))
    .option(...FORCE)
    .option(...KEY)
    .option(...WAIT)
    .action(
      act<Omit<TrainFileRequest, 'datasetPath'> & Waiting & { dataset: string }>(async (context, options) => {
        const {
          dataset: datasetPath,
          learningRate,
          epochs,
          batchSize,
          ewcLambda,
          force,
          idempotencyKey,
          wait,
        } = options;
        const client = context.client();
        const request = { datasetPath, learningRate, epochs, batchSize, ewcLambda, force, idempotencyKey };
        return printJob(context, client, await client.trainFile(request, context), wait);
      }),
    );

  program
    .command('fisher')
    .description('estimate how much each parameter of a version matters, for the next training to hold on to')
    .option('--num-samples <number>', 'examples to estimate it from', integer(1, 1_000_000))
    .option('--adapter <version>', 'a version or an alias (default: the active one)')
    .option(...KEY)
    .option(...WAIT)
    .action(
      act<FisherRequest & Waiting & { adapter?: string }>(async (context, options) => {
        const { adapter: adapterVersion, numSamples, idempotencyKey, wait } = options;
        const client = context.client();
        const request = { adapterVersion, numSamples, idempotencyKey };
        return printJob(context, client, await client.calculateFisher(request, context), wait);
      }),
    );
}
