/** Forgets jobs that ended long ago. */
import type { ServiceParts } from './parts.js';

const DAY_MS = 86_400_000;
const EVERY_MS = 3_600_000;

/** Begins at once, and again every hour; the answer ends it. */
export function startHousekeeping({ config, queue, clock, logger }: ServiceParts): () => Promise<void> {
  let stopped = false;
  let callOff = () => {};
  let running: Promise<void>;
  const round = async () => {
    try {
      const before = new Date(clock.now() - config.jobs.historyDays * DAY_MS);
      const deleted = await queue.deleteFinished(before);
      if (deleted > 0)
        logger.info(`jobs: ${deleted} that ended more than ${config.jobs.historyDays} days ago are gone`);
    } catch (error) {
      logger.warn(`jobs: old ones cannot be deleted: ${(error as Error).message}`);
    }
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
