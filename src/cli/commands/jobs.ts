/** status and jobs: what is being trained, what was, and what waits. */
import { type Command, Option } from 'commander';
import { JOB_STATES, type JobState } from '../../service/jobs/job.js';
import { toWire } from '../../service/wire.js';
import type { Act } from '../program.js';
import { jobFields, jobTable, trainingLines } from '../render/jobs.js';
import { fields } from '../text.js';
import { integer } from '../values.js';
import { printJob, verdictOf, waitForJob } from '../waiting.js';

export function addJobCommands(program: Command, act: Act): void {
  program
    .command('status')
    .description('what is being trained, what was trained last, and when it is time again')
    .action(
      act(async (context) => {
        const status = await context.client().trainingStatus(context);
        context.print(toWire(status), () => trainingLines(status));
      }),
    );

  const jobs = program.command('jobs').description('jobs of the service');
  jobs
    .command('list')
    .description('newest first')
    .addOption(new Option('--state <state...>', 'only these').choices(JOB_STATES))
    .option('--queue <name>', 'only of this queue')
    .option('--limit <number>', 'at most (default 50)', integer(1, 1000))
    .option('--before <number>', 'what follows a page: its next', integer(0, Number.MAX_SAFE_INTEGER))
    .action(
      act<{ state?: JobState[]; queue?: string; limit?: number; before?: number }>(
        async (context, { state: states, queue, limit, before }) => {
          const page = await context.client().jobs({ states, queue, limit, before }, context);
          context.print(toWire(page), () => jobTable(page.jobs));
          if (page.next !== undefined && !context.isJson) context.note(`more: --before ${page.next}`);
        },
      ),
    );
  jobs
    .command('show <id>')
    .description('one job, with its progress and result')
    .action(
      act(async (context, _, [id]) => {
        const job = await context.client().job(id, context);
        context.print(toWire(job), () => fields(jobFields(job)));
      }),
    );
  jobs
    .command('cancel <id>')
    .description('one that waits ends at once, one that runs when its worker hears of it')
    .option('--wait', 'until it has ended')
    .action(
      act<{ wait?: boolean }>(async (context, { wait }, [id]) => {
        const client = context.client();
        const job = await client.cancelJob(id, context);
        await printJob(context, client, job, wait);
      }),
    );
  jobs
    .command('wait <id>')
    .description('until it has ended, with its progress; the exit code is that of its result')
    .action(
      act(async (context, _, [id]) => {
        const job = await waitForJob(context, context.client(), id);
        context.print(toWire(job), () => fields(jobFields(job)));
        return verdictOf(job);
      }),
    );
}
