/** The small parts: requests under way, answers that are remembered, the history. */
import { describe, expect, it } from 'vitest';
import { LoraHistory } from '../../../src/service/engine/lora-status.js';
import { Remembered } from '../../../src/service/engine/remembered.js';
import { Requests } from '../../../src/service/engine/requests.js';
import type { AdapterVersions, VersionChange } from '../../../src/versions/index.js';
import { coded } from '../../personalization/samples.js';

describe('requests', () => {
  it('are waited for, also those that fail, and no more are taken', async () => {
    const requests = new Requests();
    const ends: string[] = [];
    let end = () => {};
    const first = requests.run(() => new Promise<void>((done) => (end = done))).then(() => ends.push('request'));
    const second = requests.run(() => Promise.reject(new Error('no'))).catch(() => ends.push('failure'));
    const closing = requests.close(60_000).then(() => ends.push('close'));
    await expect(requests.run(async () => 1)).rejects.toEqual(coded('ERR_CLOSED'));
    await second;
    end();
    await Promise.all([first, closing]);
    expect(ends.at(-1)).toBe('close');
    expect(ends.length).toBe(3);
  });

  it('that listen are given up when the time is over, or when their caller gives up', async () => {
    const requests = new Requests();
    const own = new AbortController();
    const signals = [requests.signalWith(undefined), requests.signalWith(own.signal)];
    const listening = requests.run(
      () => new Promise<void>((done) => signals[0].addEventListener('abort', () => done())),
    );
    own.abort();
    expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
    await Promise.all([requests.close(1), listening]);
    expect(signals[0].reason).toEqual(coded('ERR_CLOSED'));
  });
});

describe('remembered answers', () => {
  it('are asked for once by all who ask meanwhile, and again when they are old', async () => {
    let asked = 0;
    const kept = new Remembered(async () => ++asked, 60_000);
    expect(await Promise.all([kept.get(), kept.get()])).toEqual([1, 1]);
    expect(await kept.get()).toBe(1);
    const old = new Remembered(async () => ++asked, 0);
    expect([await old.get(), await old.get()]).toEqual([2, 3]);
    expect(old.latest(60_000)).toBe(3);
    old.set(9);
    expect(old.latest(60_000)).toBe(9);
    kept.set(7);
    expect(await kept.get()).toBe(7);
  });

  it('are no last word when they are too old, or never came', () => {
    const never = new Remembered(() => new Promise<number>(() => {}), 0);
    void never.get();
    expect(never.latest(60_000)).toBeUndefined();
    never.set(1);
    expect(never.latest(-1)).toBeUndefined();
  });
});

describe('the history', () => {
  it('has no gap where more has happened than was known when it was asked for', async () => {
    let made = 3;
    const change = (sequence: number) =>
      ({ sequence, operation: `${sequence}`, aliases: [] }) as unknown as VersionChange;
    const reads: number[] = [];
    const versions = {
      history: async (limit: number) => {
        reads.push(limit);
        return Array.from({ length: Math.min(limit, made) }, (_, i) => change(made - i));
      },
    };
    const history = new LoraHistory(versions as unknown as AdapterVersions);
    const sequences = async (sequence: number) => (await history.upTo(sequence)).map(({ operation }) => operation);
    expect(await sequences(3)).toEqual(['3', '2', '1']);
    made = 8; // of which 5 is what the caller knows of
    expect(await sequences(5)).toEqual(['8', '7', '6', '5', '4', '3', '2', '1']);
    expect(await sequences(8)).toHaveLength(8);
    made = 300;
    expect(await sequences(300)).toEqual(Array.from({ length: 100 }, (_, i) => `${300 - i}`));
    expect(reads).toEqual([3, 2, 100, 100, 100]);
  });
});
