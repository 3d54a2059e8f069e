import { describe, expect, it } from 'vitest';
import { coded } from '../samples.js';
import { deferred, newPool, newService, rowsOf, ScriptedStore, settle, stateOf } from './support.js';

const rounds = Array.from({ length: 20 }, (_, round) => rowsOf('u', round));

describe('calls of one user', () => {
  it('made at once are one step each, in order, and none is lost', async () => {
    const { service } = newService();
    const versions: (number | undefined)[] = [];
    const calls = rounds.map(async (round) => {
      await service.learn(round);
      versions.push((await service.getAdapter('u'))?.version);
    });
    await Promise.all(calls);
    const inTurn = newPool();
    for (const round of rounds) await inTurn.learn(round);
    expect(versions.every((version, i) => i === 0 || (version as number) >= (versions[i - 1] as number))).toBe(true);
    const adapter = await service.getAdapter('u');
    expect(adapter).toMatchObject({ version: 21, optimizerState: { step: 20 }, metadata: { totalSamples: 20 } });
    expect([adapter?.matrixA, adapter?.matrixB]).toEqual([
      inTurn.getAdapter('u')?.matrixA,
      inTurn.getAdapter('u')?.matrixB,
    ]);
    expect(service.stats()).toMatchObject({ updates: 20, rows: 20, created: 1, batches: 20 });
  });

  it("become one step on all their rows with steps: 'merged'", async () => {
    const { service } = newService({ steps: 'merged' });
    await Promise.all(rounds.map((round) => service.learn(round)));
    const atOnce = newPool();
    await atOnce.learn(
      rounds.flatMap(({ userIds: [userId], content, target }) => [
        { userId, contentEmbedding: content, targetEmbedding: target },
      ]),
    );
    expect((await service.getAdapter('u'))?.matrixB).toEqual(atOnce.getAdapter('u')?.matrixB);
    expect(service.stats()).toMatchObject({ updates: 1, rows: 20, batches: 1, largestBatch: 20 });
  });

  it('are merged up to maxBatchRows, and never vectors with item numbers', async () => {
    const items = rowsOf('u', 50, 3).content;
    const pool = newPool({ items });
    const { service } = newService({ pool, steps: 'merged', maxBatchRows: 5 });
    const numbers = { userIds: ['u', 'u'], content: Uint32Array.of(0, 1), target: Uint32Array.of(1, 2) };
    await Promise.all([
      ...[0, 1, 2].map((round) => service.learn(rowsOf('u', round, 2))), // 4 + 2 rows
      service.learn(numbers),
      service.learn(numbers), // 4
      service.learn(rowsOf('u', 9, 7)), // more than fit, but not to be divided
    ]);
    expect(service.stats()).toMatchObject({ updates: 4, rows: 17, batches: 4, batchSizes: [0, 1, 3] });
  });
});

describe('micro-batches', () => {
  it('take calls of many users together, up to maxBatchRows', async () => {
    const { service } = newService({ capacity: 100, maxBatchRows: 16 });
    await Promise.all(Array.from({ length: 40 }, (_, i) => service.learn(rowsOf(`user-${i}`, i))));
    const { updates, batches, largestBatch, batchSizes } = service.stats();
    expect({ updates, largestBatch }).toEqual({ updates: 40, largestBatch: 16 });
    expect(batches).toBeLessThan(10);
    expect(batchSizes.reduce((sum, count) => sum + count)).toBe(batches);
  });

  it('wait for more to come until full', async () => {
    const { service } = newService({ maxDelayMs: 1e6, maxBatchRows: 3 });
    const first = service.learn(rowsOf('a', 1));
    const second = service.learn(rowsOf('b', 2));
    await settle();
    expect([await stateOf(first), await stateOf(second)]).toEqual(['pending', 'pending']);
    expect(service.stats()).toMatchObject({ queuedRows: 2, batches: 0 });
    await Promise.all([service.learn(rowsOf('c', 3)), first, second]);
    expect(service.stats()).toMatchObject({ queuedRows: 0, batches: 1, largestBatch: 3 });
    const last = service.learn(rowsOf('a', 4));
    await settle();
    expect(await stateOf(last)).toBe('pending');
    await service.close();
    expect(await last).toEqual({ rows: 1, users: 1, rejected: [] });
  });

  it('wait no longer than maxDelayMs', async () => {
    const { service } = newService({ maxDelayMs: 5, maxBatchRows: 1000 });
    await Promise.all([service.learn(rowsOf('a', 1)), service.learn(rowsOf('b', 2))]);
    expect(service.stats()).toMatchObject({ batches: 1, updates: 2 });
  });

  it('keep to the feedback of the call, however the caller uses his arrays again', async () => {
    const [{ service }, inTurn] = [newService(), newPool()];
    const round = rowsOf('u', 1, 3);
    await inTurn.learn(round);
    const learning = service.learn(round);
    round.content.fill(Number.NaN);
    round.target.fill(Number.NaN);
    round.userIds.fill('other');
    await learning;
    expect((await service.getAdapter('u'))?.matrixB).toEqual(inTurn.getAdapter('u')?.matrixB);
    expect(await service.getAdapter('other')).toBeUndefined();
  });

  it('refuse bad feedback alone, at once, and report what overflows for its own call', async () => {
    const { service } = newService();
    const good = service.learn(rowsOf('a', 1));
    const nan = rowsOf('b', 2);
    nan.content[3] = Number.NaN;
    await expect(service.learn(nan)).rejects.toEqual(coded('ERR_NOT_FINITE', 'feedback.content[3]'));
    await expect(service.learn(rowsOf('\ud800', 3))).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'Unicode'));
    const huge = rowsOf('c', 4);
    huge.target.fill(3e38);
    expect(await service.learn(huge)).toEqual({ rows: 1, users: 1, rejected: ['c'] });
    expect(await good).toEqual({ rows: 1, users: 1, rejected: [] });
    expect(await service.learn([])).toEqual({ rows: 0, users: 0, rejected: [] });
    expect(service.stats()).toMatchObject({ updates: 1, rejectedUpdates: 1, created: 2, queuedRows: 0 });
  });
});

describe('a full queue', () => {
  /** A service whose store does not answer before the test lets it, so that rows pile up. */
  function heldUp(whenFull?: 'wait' | 'reject') {
    const { promise: answer, resolve: release } = deferred();
    const store = new ScriptedStore();
    store.before = () => answer;
    return { ...newService({ store, maxQueuedRows: 3, whenFull }), release };
  }

  it("lets calls wait for their turn with whenFull: 'wait'", async () => {
    const { service, release } = heldUp();
    const calls = rounds.map((round) => service.learn(round));
    const removal = service.removeUser('other');
    await settle();
    expect(service.stats()).toMatchObject({ queuedRows: 3, waitingCalls: 18, waitingUsers: 1, refusedCalls: 0 });
    release();
    await Promise.all([...calls, removal]);
    const inTurn = newPool();
    for (const round of rounds) await inTurn.learn(round);
    expect((await service.getAdapter('u'))?.matrixB).toEqual(inTurn.getAdapter('u')?.matrixB);
    expect(service.stats()).toMatchObject({ queuedRows: 0, waitingCalls: 0, updates: 20 });
  });

  it("refuses calls with whenFull: 'reject', and loses none that it took", async () => {
    const { service, release } = heldUp('reject');
    const calls = [0, 1, 2].map((i) => service.learn(rounds[i]));
    await expect(service.learn(rounds[3])).rejects.toEqual(coded('ERR_QUEUE_FULL', 'got 1 rows, expected at most 0'));
    // nothing to hold up feedback with
    const removal = service.removeUser('other');
    release();
    await Promise.all([...calls, removal]);
    expect(service.stats()).toMatchObject({ queuedRows: 0, updates: 3, refusedCalls: 1 });
    await service.learn(rounds[3]);
  });

  it('takes a call that is larger than the queue when nothing else is there', async () => {
    const { service, release } = heldUp('reject');
    const large = service.learn(rowsOf('u', 1, 8));
    await expect(service.learn(rowsOf('u', 2))).rejects.toEqual(coded('ERR_QUEUE_FULL'));
    release();
    expect(await large).toMatchObject({ rows: 8 });
  });
});
