/** Many at once, broken off, and killed. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdapterConfig } from '../../src/learning/adapter-config.js';
import type { AdapterId } from '../../src/learning/adapter-id.js';
import { decodeWeights } from '../../src/learning/adapter-weights.js';
import { AdapterLearningEngine } from '../../src/learning/engine.js';
import { FeedbackSignal } from '../../src/learning/feedback-signal.js';
import { FileSystemBlobStorage } from '../../src/learning/file-blob-storage.js';
import { failure } from '../../src/learning/result.js';
import type { StorageOptions } from '../../src/learning/storage.js';
import { TrainingConfig } from '../../src/learning/training-config.js';
import { TrainingExample } from '../../src/learning/training-example.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { SqliteAdapterStorage } from '../../src/stores/learning/sqlite.js';
import { root } from '../support/imports.js';
import { Storages } from './faulty-storages.js';

const CONFIG = new AdapterConfig({ rank: 1, learningRate: 0.01 });
const ONE = new TrainingConfig();
const LONG = new TrainingConfig({ epochs: 1000 });
const EXAMPLES = ['moon', 'sun', 'sea', 'king', 'rose'].map((word) => new TrainingExample('O', ` ${word}!`));

describe('an adapter that many work on', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-concurrency-'));
  let model: LanguageModel;
  let storages: Storages;
  let engine: AdapterLearningEngine;
  beforeAll(async () => {
    if (!existsSync(join(root, 'dist'))) throw new Error('dist/ is missing: npm run build');
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
  });
  beforeEach(() => {
    storages = new Storages();
    engine = new AdapterLearningEngine(model, storages.metadata, storages.blobs);
  });
  afterAll(() => {
    model.close();
    rmSync(folder, { recursive: true });
  });
  const create = async () => (await engine.createAdapter('task', CONFIG)).value;
  const weightsOf = async (id: AdapterId, from = storages) => {
    const { blobStoragePath } = (await from.metadata.getMetadata(id)).value;
    return (await decodeWeights(from.blobs.content.get(blobStoragePath) as Uint8Array)).value.parameters;
  };

  it('learns from ten trainings at once as from one after another', async () => {
    const [together, inTurn] = [await create(), await create()];
    const lesson = (i: number) => [EXAMPLES[i % EXAMPLES.length]];
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => engine.trainAdapter(together, lesson(i), ONE)),
    );
    expect(results.map((result) => result.value.version)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    for (let i = 0; i < 10; i++) await engine.trainAdapter(inTurn, lesson(i), ONE);
    expect(await weightsOf(together)).toEqual(await weightsOf(inTurn));
    expect((await engine.getAdapter(together)).value).toMatchObject({ trainingExampleCount: 10, version: 11 });
    expect(await storages.orphans()).toEqual({ orphans: [], dangling: [] });
  });

  it('counts a training of two processes once, and says to the other that it came too late', async () => {
    const id = await create();
    const other = new AdapterLearningEngine(model, storages.metadata, storages.blobs);
    const results = await Promise.all([engine, other].map((each) => each.trainAdapter(id, EXAMPLES, ONE)));
    const messages = results.map((result) => (result.isSuccess ? 'success' : result.error)).sort();
    expect(messages).toEqual([`Failed to store trained metadata: Adapter changed meanwhile: ${id}`, 'success']);
    expect((await engine.validateAdapter(id)).isSuccess).toBe(true);
    expect(await storages.orphans()).toEqual({ orphans: [], dangling: [] });
  });

  it('is as it was after a training that was broken off, which answers at once', async () => {
    const id = await create();
    const before = await storages.content();
    const abort = new AbortController();
    let steps = 0;
    const training = engine.trainAdapter(id, EXAMPLES, LONG, {
      signal: abort.signal,
      onProgress: () => {
        if (++steps === 3) abort.abort();
      },
    });
    expect((await training).error).toBe('Operation cancelled');
    expect(steps).toBe(3);
    expect(await storages.content()).toEqual(before);
    expect((await engine.trainAdapter(id, EXAMPLES, ONE)).value.version).toBe(2);
  });

  it('does not keep those waiting who give up', async () => {
    const id = await create();
    const first = new AbortController();
    const ended: string[] = [];
    const note = (what: string) => (result: { error: unknown }) => ended.push(`${what}: ${result.error}`);
    const options = (i: AbortController) => ({ signal: i.signal });
    const [second, third, fourth] = [new AbortController(), new AbortController(), new AbortController()];
    let started = () => {};
    const running = new Promise<void>((resolve) => (started = resolve));
    const training = engine
      .trainAdapter(id, EXAMPLES, LONG, { ...options(first), onProgress: started })
      .then(note('first') as never);
    await running;
    const waiting = [
      engine.trainAdapter(id, EXAMPLES, ONE, options(second)).then(note('second') as never),
      engine.rollback(id, options(third)).then(note('third') as never),
      engine
        .learnFromFeedback('O', ' moon!', FeedbackSignal.success(), id, options(fourth))
        .then(note('fourth') as never),
    ];
    for (const each of [second, third, fourth]) each.abort();
    await Promise.all(waiting);
    expect(ended.toSorted()).toEqual(['fourth', 'second', 'third'].map((each) => `${each}: Operation cancelled`));
    first.abort();
    await training;
    expect(ended[3]).toBe('first: Operation cancelled');
    expect((await engine.trainAdapter(id, EXAMPLES, ONE)).value.version).toBe(2);
  });

  /** Reading weights stops until `goOn` is called. */
  function haltLoading() {
    const getWeights = storages.blobs.getWeights.bind(storages.blobs);
    const halt = { loads: 0, begin: () => {}, goOn: () => {} };
    const begun = new Promise<void>((resolve) => (halt.begin = resolve));
    const held = new Promise<void>((resolve) => (halt.goOn = resolve));
    storages.blobs.getWeights = async (path: string, options?: StorageOptions) => {
      halt.loads++;
      halt.begin();
      await held;
      return options?.signal?.aborted ? failure('Operation cancelled') : getWeights(path);
    };
    return { halt, begun };
  }

  it('is loaded for one who waits, though another who asked for it first gave up', async () => {
    const id = await create();
    const { halt, begun } = haltLoading();
    const abort = new AbortController();
    const one = engine.generateWithAdapter('O', id, { signal: abort.signal, maxNewTokens: 1 });
    await begun;
    const other = engine.generateWithAdapter('O', id, { maxNewTokens: 1 });
    abort.abort();
    expect((await one).error).toBe('Operation cancelled');
    halt.goOn();
    expect((await other).isSuccess).toBe(true);
    expect(halt.loads).toBe(1);
  });

  it('is freed when it has been loaded for nobody but one who gave up', async () => {
    const id = await create();
    const own = new AdapterLearningEngine(model, storages.metadata, storages.blobs, { loadedAdapters: 0 });
    const { halt, begun } = haltLoading();
    const createEmptyAdapter = model.createEmptyAdapter.bind(model);
    const freed = new Promise<void>((resolve) => {
      vi.spyOn(model, 'createEmptyAdapter').mockImplementationOnce((...args) => {
        const adapter = createEmptyAdapter(...args);
        const close = adapter.close.bind(adapter);
        vi.spyOn(adapter, 'close').mockImplementationOnce(() => {
          close();
          resolve();
        });
        return adapter;
      });
    });
    const abort = new AbortController();
    const one = own.generateWithAdapter('O', id, { signal: abort.signal });
    await begun;
    abort.abort();
    expect((await one).error).toBe('Operation cancelled');
    halt.goOn();
    await freed;
  });

  it('is read in its last whole version after kill -9 in mid-training', async () => {
    const file = join(folder, 'adapters.db');
    const blobs = join(folder, 'blobs');
    const program = join(root, 'test', 'learning', 'training-process.mjs');
    const child = spawn(process.execPath, [program, root, file, blobs], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => {
      child.on('exit', (_, signal) => resolve(signal));
    });
    const lines: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (line === 'step 3') child.kill('SIGKILL');
    }
    expect(await ended).toBe('SIGKILL');
    const [id, loss] = lines[0].split(' ');
    const metadata = new SqliteAdapterStorage(file);
    const next = new AdapterLearningEngine(model, metadata, new FileSystemBlobStorage(blobs));
    const [adapter] = (await next.listAdapters()).value;
    expect(adapter).toMatchObject({ id, version: 2 });
    expect((await next.validateAdapter(adapter.id)).isSuccess).toBe(true);
    const examples = [new TrainingExample('O', ' moon!')];
    expect((await next.evaluate(examples, adapter.id)).value.loss).toBeCloseTo(Number(loss), 5);
    expect((await next.trainAdapter(adapter.id, examples, ONE)).value.version).toBe(3);
    metadata.close();
  });
});
