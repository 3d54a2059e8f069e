/** How far the replay is: a bar on a terminal, a line every quarter elsewhere. */
import { SingleBar } from 'cli-progress';
import type { JobContext } from './job.js';
import type { ReplayedBatch } from './replay.js';
import { formatCount } from './results.js';

export interface ProgressDisplay {
  add(replayed: ReplayedBatch): void;
  stop(): void;
}

/** `total` events in all, of which an earlier run has replayed `before`. */
export function createProgress(stdout: JobContext['stdout'], total: number, before: number): ProgressDisplay {
  return stdout.isTTY ? new Bar(stdout as NodeJS.WriteStream, total, before) : new Lines(stdout, total, before);
}

class Bar implements ProgressDisplay {
  readonly #bar: SingleBar;
  #updates = 0;
  #seconds = 0;

  constructor(stream: NodeJS.WriteStream, total: number, before: number) {
    this.#bar = new SingleBar({
      stream,
      format: 'replay   {bar} {percentage} % · {value}/{total} ratings · {rate} updates/s',
      barCompleteChar: '█',
      barIncompleteChar: '░',
      barsize: 30,
      hideCursor: true,
      stopOnComplete: false,
    });
    this.#bar.start(total, before, { rate: '–' });
  }

  add({ users, seconds }: ReplayedBatch): void {
    this.#updates += users.length;
    this.#seconds += seconds;
    this.#bar.increment(users.length, { rate: formatCount(this.#updates / this.#seconds) });
  }

  stop(): void {
    this.#bar.stop();
  }
}

class Lines implements ProgressDisplay {
  readonly #stdout: JobContext['stdout'];
  readonly #total: number;
  #done: number;

  constructor(stdout: JobContext['stdout'], total: number, before: number) {
    this.#stdout = stdout;
    this.#total = total;
    this.#done = before;
  }

  add({ users }: ReplayedBatch): void {
    const quarters = this.#quarters();
    this.#done += users.length;
    if (this.#quarters() > quarters)
      this.#stdout.write(`replay   ${25 * this.#quarters()} % of ${formatCount(this.#total)} ratings\n`);
  }

  stop(): void {}

  #quarters(): number {
    return Math.floor((4 * this.#done) / this.#total);
  }
}
