import { describe, expect, it } from 'vitest';
import { cpuClock, measure, type Subject } from '../../bench/src/measure.js';

/** A clock that only the subject moves: each call takes the next of `durations`, in ms, over and over. */
function scripted(durations: readonly number[], subject: Partial<Subject> = {}) {
  let now = 0;
  let calls = 0;
  const run = (): void => {
    now += durations[calls++ % durations.length];
  };
  return { clock: () => now, subject: { name: 'scripted', items: 1, run, ...subject } satisfies Subject };
}

describe('measure', () => {
  it('takes the median of the samples, divided by the items of a call', async () => {
    // every second call is a disturbed one, but for one in ten
    const durations = [2, 3, 2, 3, 2, 3, 2, 3, 2, 2];
    const { clock, subject } = scripted(durations, { items: 4 });
    const [{ nsPerItem, samples }] = await measure([subject], { clock, totalMs: 200 });
    expect(nsPerItem).toBe(2e6 / 4);
    expect(samples).toBeGreaterThan(70);
  });

  it('is not moved by outliers, and tells the spread', async () => {
    const [steady, wild] = [scripted([1]), scripted([1, 1, 1, 50])];
    expect(await measure([steady.subject], { clock: steady.clock })).toMatchObject([{ nsPerItem: 1e6, spread: 0 }]);
    expect(await measure([wild.subject], { clock: wild.clock, totalMs: 2000 })).toMatchObject([{ nsPerItem: 1e6 }]);
    const spread = scripted([2, 3, 4]);
    const [{ nsPerItem, spread: share }] = await measure([spread.subject], { clock: spread.clock, totalMs: 900 });
    expect(nsPerItem).toBe(3e6);
    expect(share).toBeCloseTo(1 / 3, 6);
  });

  it('repeats short calls until a sample is long enough for the clock', async () => {
    const { clock, subject } = scripted([0.001]);
    const [{ nsPerItem }] = await measure([subject], { clock, sampleMs: 0.5, totalMs: 10 });
    expect(nsPerItem).toBeCloseTo(1000, 3);
  });

  it('does not let one slow call decide how often to repeat', async () => {
    let calls = 0;
    let now = 0;
    const run = (): void => {
      now += calls++ === 0 ? 5 : 0.00137;
    };
    const clock = () => Math.floor(now * 1000) / 1000; // steps of a microsecond
    const [{ nsPerItem }] = await measure([{ name: 'cold', items: 1, run }], { clock, totalMs: 10 });
    expect(nsPerItem / 1370).toBeCloseTo(1, 2);
  });

  it('waits for asynchronous calls', async () => {
    const { clock, subject } = scripted([1]);
    const run = async () => {
      await null;
      subject.run();
    };
    const [{ nsPerItem }] = await measure([{ ...subject, run, asynchronous: true }], { clock });
    expect(nsPerItem).toBe(1e6);
  });

  it('passes errors on', async () => {
    const failing = { name: 'failing', items: 1, run: () => expect.fail('no') };
    await expect(measure([failing])).rejects.toThrow('no');
  });

  it('reads the CPU time of this process', () => {
    const start = cpuClock();
    let x = 1;
    while (cpuClock() === start) x = Math.sqrt(x + 1);
    expect(cpuClock()).toBeGreaterThan(start);
    expect(x).toBeGreaterThan(0);
  });
});
