/** When a cron expression comes due in a time zone; the package that knows is loaded when it is first asked. */
import { fail } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { isCron, isTimeZone } from '../config/forms.js';

export interface CronTimes {
  /** The first after `time`; undefined if there is none. */
  next(time: Date): Date | undefined;
  /** The last after `since` up to and including `until`; undefined if there is none. */
  last(since: Date, until: Date): Date | undefined;
}

/**
 * Five fields as in crontab(5). A time that a change of clocks leaves out comes as much later (02:30 is 03:30), one that
 * occurs twice is due the first time; `* * * * *` and other patterns without a fixed hour follow the clock on the wall.
 * Rejects with ERR_INVALID_CONFIG, ERR_SCHEDULER_UNAVAILABLE without the package croner.
 */
export async function cronTimes(name: string, cron: string, timeZone: string, load = loadCroner): Promise<CronTimes> {
  if (typeof cron !== 'string' || !isCron(cron)) {
    fail('ERR_INVALID_CONFIG', `${name}.cron`, cron, 'a cron expression of five fields, like 0 2 * * 1');
  }
  if (typeof timeZone !== 'string' || !isTimeZone(timeZone)) {
    fail('ERR_INVALID_CONFIG', `${name}.timeZone`, timeZone, 'a time zone, like Europe/Vienna');
  }
  const { Cron } = await load().catch((cause) => {
    const text = 'schedules need a package that is not installed: npm install croner';
    throw new LorakeetError('ERR_SCHEDULER_UNAVAILABLE', text, { cause });
  });
  const pattern = new Cron(cron, { timezone: timeZone, mode: '5-part', paused: true });
  const next = (time: Date) => pattern.nextRun(time) ?? undefined;
  return {
    next,
    last(since, until) {
      // croner looks before a time, to the second
      const [last] = pattern.previousRuns(1, new Date(until.getTime() + 1000));
      const exact = last !== undefined && last <= until ? last : pattern.previousRuns(1, until)[0];
      return exact !== undefined && exact > since ? exact : undefined;
    },
  };
}

async function loadCroner(): Promise<Pick<typeof import('croner'), 'Cron'>> {
  return import('croner');
}
