/** Medians of CPU time, with tinybench. */
import { Bench } from 'tinybench';

export interface Subject {
  name: string;
  /** One call. */
  run: (() => void) | (() => Promise<void>);
  /** `run` returns a promise, which is waited for. */
  asynchronous?: boolean;
  /** Things (users, calls) that one call deals with. */
  items: number;
}

export interface Measurement {
  /** Median over the samples. */
  nsPerItem: number;
  /** Median absolute deviation of the samples, as a share of the median. */
  spread: number;
  samples: number;
}

export interface MeasureOptions {
  /** Milliseconds, rising; default: the CPU time of this process, which others on the machine do not count against. */
  clock?: () => number;
  /** Calls are repeated until a sample takes about so long; well above the clock's step of a microsecond. */
  sampleMs?: number;
  /** Samples are taken for so long at least, and at least MIN_SAMPLES of them. */
  totalMs?: number;
}

const MIN_SAMPLES = 7;

/** All threads of the process count; the benchmark's calls run on one, and V8's helpers are idle once all is warm. */
export function cpuClock(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Measures the subjects one right after another, so that what disturbs the machine disturbs them alike. */
export async function measure(subjects: readonly Subject[], options: MeasureOptions = {}): Promise<Measurement[]> {
  const { clock = cpuClock, sampleMs = 0.5, totalMs = 40 } = options;
  const bench = new Bench({
    now: clock,
    time: totalMs,
    iterations: MIN_SAMPLES,
    warmupTime: totalMs / 4,
    warmupIterations: 2,
    throws: true,
  });
  const callsPerSample: number[] = [];
  for (const subject of subjects) {
    const calls = await callsFor(subject, sampleMs, clock);
    callsPerSample.push(calls);
    bench.add(subject.name, sampleOf(subject, calls), { async: subject.asynchronous ?? false });
  }
  await bench.run();
  return bench.tasks.map(({ name, result }, i) => {
    if (result.state !== 'completed') throw new Error(`${name}: ${result.state}`);
    const { p50, mad, samplesCount } = result.latency;
    return {
      nsPerItem: (p50 * 1e6) / (callsPerSample[i] * subjects[i].items),
      spread: p50 > 0 ? mad / p50 : 0,
      samples: samplesCount,
    };
  });
}

/**
 * How many calls fill `sampleMs`, by doubling. The fastest of three samples counts: a slow one may be cold code, and a
 * number of calls that is too small would leave the samples to the clock's steps.
 */
async function callsFor(subject: Subject, sampleMs: number, clock: () => number): Promise<number> {
  for (let calls = 1; ; calls *= 2) {
    const sample = sampleOf(subject, calls);
    let fastest = Infinity;
    for (let i = 0; i < 3 && fastest >= sampleMs; i++) {
      const start = clock();
      await sample();
      fastest = Math.min(fastest, clock() - start);
    }
    if (fastest >= sampleMs) return Math.max(1, Math.ceil((calls * sampleMs) / fastest));
  }
}

function sampleOf({ run, asynchronous }: Subject, calls: number): () => void | Promise<void> {
  if (!asynchronous) {
    return () => {
      for (let i = 0; i < calls; i++) run();
    };
  }
  return async () => {
    for (let i = 0; i < calls; i++) await run();
  };
}
