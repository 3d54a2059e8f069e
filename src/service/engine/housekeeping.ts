/** Forgets jobs that ended long ago, and what nothing points to in the store of versions. */
import { collectGarbage } from '../../versions/store-check.js';
import type { ServiceParts } from './parts.js';

const DAY_MS = 86_400_000;
const EVERY_MS = 3_600_000;
/** Jobs that wait may have a checkpoint there, and begin anew without. */
const GARBAGE_OLDER_THAN_MS = 7 * DAY_MS;
const ROUNDS_PER_DAY = DAY_MS / EVERY_MS;

/** Begins at once, and again every hour; the store of versions after an hour, and again every day. The answer ends it. */
export function startHousekeeping(parts: ServiceParts): () => Promise<void> {
  const { clock, logger } = parts;
  let stopped = false;
  let callOff = () => {};
  let running: Promise<void>;
  let rounds = 0;
  const attempt = async (what: string, work: () => Promise<string | undefined>) => {
    try {
      const done = await work();
      if (done !== undefined) logger.info(`${what}: ${done}`);
    } catch (error) {
      logger.warn(`${what}: old ones cannot be deleted: ${(error as Error).message}`);
    }
  };
  const round = async () => {
    await attempt('jobs', () => deleteOldJobs(parts));
    if (rounds % ROUNDS_PER_DAY === 1) await attempt('blobs of versions', () => deleteUnused(parts));
    rounds += 1;
    if (!stopped) callOff = clock.after(EVERY_MS, begin);
  };
  const begin = () => {
    running = round();
  };
  begin();
  return () => {
    stopped = true;
    callOff();
    return running;
  };
}

async function deleteOldJobs({ config, queue, clock }: ServiceParts): Promise<string | undefined> {
  const { historyDays } = config.jobs;
  const deleted = await queue.deleteFinished(new Date(clock.now() - historyDays * DAY_MS));
  return deleted > 0 ? `${deleted} that ended more than ${historyDays} days ago are gone` : undefined;
}

/** Checkpoints of jobs that died for good, and files of publications that came to nothing. */
async function deleteUnused({ versionStore, clock }: ServiceParts): Promise<string | undefined> {
  const options = { olderThanMs: GARBAGE_OLDER_THAN_MS, now: () => new Date(clock.now()) };
  const removed = await collectGarbage(versionStore, options);
  return removed > 0 ? `${removed} that nothing points to are gone` : undefined;
}
