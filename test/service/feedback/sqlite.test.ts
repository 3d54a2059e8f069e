/** The embedded store against the shared suite, and the suite against stores that are wrong on purpose. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Feedback, FeedbackInput, FeedbackStore, FeedbackWindow } from '../../../src/service/index.js';
import { loadConfig, openFeedbackStore, SqliteFeedbackStore } from '../../../src/service/index.js';
import { openSqlite } from '../../../src/sqlite.js';
import { feedbackStoreConformance } from '../../../src/testing/index.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-feedback-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('SqliteFeedbackStore', () => {
  let files = 0;
  const paths = new WeakMap<object, string>();
  const open = async (path = join(folder, `feedback-${files++}.db`)) => {
    const store = new SqliteFeedbackStore(path);
    paths.set(store, path);
    return store;
  };
  const cases = feedbackStoreConformance({ open: () => open(), reopen: (store) => open(paths.get(store)) });
  it.each(cases)('$name', ({ run }) => run());

  it('refuses a file that is something else', () => {
    const path = join(folder, 'other.db');
    const other = openSqlite(path);
    other.exec('CREATE TABLE a (b); PRAGMA user_version = 7;');
    other.close();
    expect(() => new SqliteFeedbackStore(path)).toThrow(expect.objectContaining({ code: 'ERR_STORE_UNAVAILABLE' }));
  });

  it('is opened as a configuration says', async () => {
    const storage = join(folder, 'deep', 'data');
    for (const [key, value, path] of [
      ['storage.folder', storage, join(storage, 'feedback.db')],
      ['feedback.file', join(folder, 'own', 'file.db'), join(folder, 'own', 'file.db')],
    ]) {
      const { config } = await loadConfig({ env: {}, overrides: { [key]: value } });
      const store = await openFeedbackStore(config);
      await store.append([{ id: 'a', type: 'thumbs_up', request: {}, response: {} }]);
      await store.close();
      expect(existsSync(path)).toBe(true);
    }
    const { config } = await loadConfig({ env: {}, overrides: { 'feedback.file': '/dev/null/x/feedback.db' } });
    await expect(openFeedbackStore(config)).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
  });

  it('writes all or nothing of a call, and says so to every caller', async () => {
    const path = join(folder, 'failing.db');
    const store = new SqliteFeedbackStore(path);
    const other = openSqlite(path);
    other.exec(
      `CREATE TRIGGER full BEFORE INSERT ON feedback WHEN new.id = 'b' BEGIN SELECT RAISE(ABORT, 'full'); END`,
    );
    const row = (id: string): FeedbackInput => ({ id, type: 'thumbs_up', request: {}, response: {} });
    const failed = { code: 'ERR_STORE_UNAVAILABLE', message: expect.stringContaining('full') };
    await expect(store.append([row('a'), row('b'), row('c')])).rejects.toMatchObject(failed);
    expect((await store.count({})).total).toBe(0);
    other.exec('DROP TRIGGER full');
    other.close();
    await store.append([row('a'), row('b'), row('c')]);
    expect((await store.count({})).total).toBe(3);
    await store.close();
  });

  it('bounds what waits', async () => {
    const store = new SqliteFeedbackStore(join(folder, 'bounded.db'));
    const rows: FeedbackInput[] = Array.from({ length: 20_000 }, () => ({
      type: 'thumbs_up',
      request: {},
      response: {},
    }));
    const results = await Promise.allSettled([rows, rows, rows].map((one) => store.append(one)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(results[2]).toMatchObject({ reason: { code: 'ERR_QUEUE_FULL' } });
    expect((await store.count({})).total).toBe(40_000);
    await store.close();
  });
});

/** A store that is right, for one thing to be wrong in. */
class Right implements FeedbackStore {
  readonly inner = new SqliteFeedbackStore(':memory:');
  append(feedback: readonly FeedbackInput[]) {
    return this.inner.append(feedback);
  }
  page(window: FeedbackWindow, options: { limit: number; after?: string }) {
    return this.inner.page(window, options);
  }
  count(window: FeedbackWindow) {
    return this.inner.count(window);
  }
  close() {
    return this.inner.close();
  }
  async mapPage(page: ReturnType<FeedbackStore['page']>, map: (rows: Feedback[]) => Feedback[]) {
    const { rows, next } = await page;
    return { rows: map(rows), next };
  }
}

const MUTANTS: Record<string, new () => FeedbackStore> = {
  'acknowledges before it has written': class extends Right {
    override async append(feedback: readonly FeedbackInput[]) {
      await super.append([]);
      setImmediate(() => void super.append(feedback).catch(() => {}));
      return { ids: feedback.map((row) => row?.id as string), added: feedback.length };
    }
  },
  'keeps the last of rows with one id': class extends Right {
    override append(feedback: readonly FeedbackInput[]) {
      return super.append(Array.isArray(feedback) ? feedback.toReversed() : feedback);
    }
  },
  'counts rows that were there as added': class extends Right {
    override async append(feedback: readonly FeedbackInput[]) {
      return { ...(await super.append(feedback)), added: feedback.length };
    }
  },
  'keeps what comes before a wrong row': class extends Right {
    override async append(feedback: readonly FeedbackInput[]) {
      if (!Array.isArray(feedback)) return super.append(feedback);
      const results = [];
      for (const row of feedback) results.push(await super.append([row]));
      return { ids: results.flatMap(({ ids }) => ids), added: results.reduce((sum, { added }) => sum + added, 0) };
    }
  },
  'loses corrections': class extends Right {
    override page(window: FeedbackWindow, options: { limit: number; after?: string }) {
      return this.mapPage(super.page(window, options), (rows) => rows.map(({ expectedAnswer: _, ...row }) => row));
    }
  },
  'orders by id in the order of UTF-16': class extends Right {
    override page(window: FeedbackWindow, options: { limit: number; after?: string }) {
      const order = (a: Feedback, b: Feedback) => Number(a.createdAt) - Number(b.createdAt) || (a.id < b.id ? -1 : 1);
      return this.mapPage(super.page(window, options), (rows) => rows.toSorted(order));
    }
  },
  'repeats the last row of a page': class extends Right {
    override async page(window: FeedbackWindow, options: { limit: number; after?: string }) {
      const page = await super.page(window, options);
      const last = page.rows.at(-2);
      return page.next && last ? { ...page, next: `${last.createdAt.getTime()} ${last.id}` } : page;
    }
  },
  'has the end of a window': class extends Right {
    override page(window: FeedbackWindow, options: { limit: number; after?: string }) {
      const until = window.until && new Date(window.until.getTime() + 1);
      return super.page({ ...window, until }, options);
    }
  },
  'counts without a window': class extends Right {
    override async count(window: FeedbackWindow) {
      await super.count(window);
      return super.count({});
    }
  },
  'forgets the intent': class extends Right {
    override async count(window: FeedbackWindow) {
      return { ...(await super.count(window)), byIntent: {} };
    }
  },
  'holds on to what is of the caller': class extends Right {
    override async append(feedback: readonly FeedbackInput[]) {
      await new Promise((done) => setImmediate(done));
      return super.append(feedback);
    }
  },
  'drops what it has taken when it is closed': class extends Right {
    override async append(feedback: readonly FeedbackInput[]) {
      await new Promise((done) => setImmediate(() => setImmediate(done)));
      return super.append(feedback);
    }
  },
};

describe('the suite refuses a store that', () => {
  it('is not right, but none that is', async () => {
    for (const { name, run } of feedbackStoreConformance({ open: async () => new Right() })) {
      await expect(run(), name).resolves.toBeUndefined();
    }
  });

  it.each(Object.entries(MUTANTS))('%s', async (_, Mutant) => {
    const cases = feedbackStoreConformance({ open: async () => new Mutant() });
    const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
    expect(outcomes.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
  });
});
