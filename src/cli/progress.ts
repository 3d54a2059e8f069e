/** Progress of long work: a bar where somebody watches, a line now and then elsewhere. */
import type { Writable } from 'node:stream';

export interface Progress {
  /** `total` 0: nobody knows how long. */
  update(phase: string, done: number, total: number, detail?: string): void;
  stop(): void;
}

const FORMAT = '{phase} [{bar}] {percentage}% {detail}';
/** Of the total, between two lines. */
const LINE_SHARE = 0.1;

/** The bar needs the package cli-progress; without it there are lines. */
export async function openProgress(output: Writable & { isTTY?: boolean }): Promise<Progress> {
  const lines = linesOn(output);
  const bars = output.isTTY ? await import('cli-progress').catch(() => undefined) : undefined;
  if (!bars) return lines;
  const options = { format: FORMAT, stream: output as NodeJS.WritableStream, hideCursor: true };
  return barOf(new bars.default.SingleBar(options), lines);
}

function barOf(bar: import('cli-progress').SingleBar, lines: Progress): Progress {
  let shown: string | undefined;
  const stop = () => {
    if (shown !== undefined) bar.stop();
    shown = undefined;
  };
  return {
    update(phase, done, total, detail = '') {
      if (phase !== shown) stop();
      if (total === 0) lines.update(phase, done, total, detail);
      else if (phase === shown) bar.update(done, { detail });
      else {
        shown = phase;
        bar.start(total, done, { phase: phase.padEnd(8), detail });
      }
    },
    stop,
  };
}

/** Of a total that nobody knows: when twice as much is done. */
function linesOn(output: Writable): Progress {
  let phase: string | undefined;
  let next = 0;
  return {
    update(now, done, total, detail = '') {
      if (now === phase && done < next) return;
      phase = now;
      next = total > 0 ? done + LINE_SHARE * total : Math.max(1, 2 * done);
      const count = total > 0 ? ` ${Math.floor((100 * done) / total)}%` : done > 0 ? ` ${done}` : '';
      output.write(`${now}${count}${detail ? ` ${detail}` : ''}\n`);
    },
    stop() {},
  };
}
