import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { areInstalled, installJsPeers } from '../../bench/src/peers/install.js';
import { JS_PEERS, type JsAdapter, type JsPeer } from '../../bench/src/peers/js-adapters.js';
import { checkJsPeer } from '../../bench/src/peers/js-check.js';
import { type JsTimes, OURS, timeJs, timePeer } from '../../bench/src/peers/js-timing.js';
import { timePublicApi } from '../../bench/src/peers/public-api.js';
import { comparisonTables } from '../../bench/src/peers/tables.js';
import { benchConfig } from '../../bench/src/population.js';
import { type OracleState, oracleForward, oracleUpdate } from '../../src/testing/oracle.js';

const SHAPE = { dim: 16, rank: 2 };
const folder = mkdtempSync(join(tmpdir(), 'lorakeet-peers-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A package that computes with the oracle, and whose every number of a kind can be spoiled. */
function fakePeer(sequential: boolean, spoil: { forward?: number; learn?: number } = {}): JsPeer {
  const config = { ...benchConfig(SHAPE, 'sgd', 1), ewc: null };
  const parameters = { maxGradNorm: Infinity, ewcLambda: 0 };
  const create = (): JsAdapter => {
    let state = {} as OracleState;
    const length = SHAPE.dim * SHAPE.rank;
    return {
      setWeights(a, b) {
        const zeros = new Float64Array(2 * length);
        const weights = Float64Array.of(...a, ...b);
        state = { weights, fisher: zeros, anchor: zeros, moment1: zeros, moment2: zeros, step: 0 };
      },
      weights: () => ({ a: state.weights.slice(0, length), b: state.weights.slice(length) }),
      input: (x) => x,
      forward: (x) => oracleForward(config, state.weights, x as Float32Array).map((y) => y * (spoil.forward ?? 1)),
      learn(inputs, targets, learningRate) {
        const rows = inputs.map((x, i) => ({ x: x as Float32Array, target: targets[i], weight: 1 }));
        for (const step of sequential ? rows.map((row) => [row]) : [rows]) {
          const rate = learningRate * (spoil.learn ?? 1);
          state = oracleUpdate(config, state, step, { ...parameters, learningRate: rate }).state;
        }
      },
    };
  };
  return { version: '1', sequential, manyAdapters: sequential, create };
}

describe('an npm package', () => {
  it.each([true, false])('may learn row by row or from all rows at once: %s', (sequential) => {
    checkJsPeer('fake', fakePeer(sequential), SHAPE, 4);
    const other = { ...fakePeer(sequential), sequential: !sequential };
    expect(() => checkJsPeer('fake', other, SHAPE, 4)).toThrow('refuses to time');
  });

  it.each([
    ['its output is off', { forward: 1.0001 }],
    ['it does not learn', { learn: 0 }],
    ['it learns in the wrong direction', { learn: -1 }],
    ['it learns half of it', { learn: 0.5 }],
  ])('is refused, and never timed, when %s', async (_, spoil) => {
    const clock = () => expect.fail('timed');
    const times = timePeer('fake', fakePeer(true, spoil), SHAPE, { users: 3, measure: { clock } });
    await expect(times).rejects.toThrow('fake: refuses to time a peer that is wrong');
  });

  it('is timed for one adapter and, where that makes sense, for many', async () => {
    const options = { users: 3, measure: { sampleMs: 0.1, totalMs: 1 } };
    const many = await timePeer('fake', fakePeer(true), SHAPE, options);
    for (const ns of [many.one, many.many, many.update, many.sgd]) expect(ns).toBeGreaterThan(0);
    expect(await timePeer('fake', fakePeer(false), SHAPE, options)).toMatchObject({ version: '1', many: null });
    const ours = await timeJs(OURS, folder, SHAPE, options);
    for (const ns of [ours.one, ours.many, ours.update, ours.sgd]) expect(ns).toBeGreaterThan(0);
  });
});

describe('the public API', () => {
  const times: JsTimes = { version: '1', one: 100, many: 10, update: 1000, sgd: 500 };

  it('is set against every package that is right', () => {
    const [wrong, lonely, right] = Object.keys(JS_PEERS);
    const asked: string[] = [];
    const timeOne = (name: string): JsTimes => {
      asked.push(name);
      if (name === wrong) throw new Error('it is wrong');
      if (name === lonely) return { version: '2', one: 300, many: null, update: 500, sgd: 500 };
      return name === right ? { version: '3', one: 50, many: 40, update: 7000, sgd: 7000 } : times;
    };
    const { rows, versions, refused } = timePublicApi([SHAPE, { dim: 32, rank: 4 }], timeOne);
    expect(refused).toEqual({ [wrong]: 'it is wrong' });
    expect(versions).toEqual({ [OURS]: '1', [lonely]: '2', [right]: '3' });
    expect(asked).toEqual([OURS, wrong, lonely, right, OURS, lonely, right]); // who is wrong is not asked again
    expect(rows.slice(0, 4)).toEqual([
      {
        what: 'apply, one vector',
        ...SHAPE,
        ours: 100,
        peers: { [lonely]: { ns: 300, ratio: 3 }, [right]: { ns: 50, ratio: 0.5 } },
      },
      { what: 'apply, 1000 users', ...SHAPE, ours: 10, peers: { [right]: { ns: 40, ratio: 4 } } },
      {
        what: 'update, 1000 users × 16 rows',
        ...SHAPE,
        ours: 1000,
        peers: { [lonely]: { ns: 500, ratio: 0.5 }, [right]: { ns: 7000, ratio: 7 } },
      },
      {
        what: 'the same, ours with SGD',
        ...SHAPE,
        ours: 500,
        peers: { [lonely]: { ns: 500, ratio: 1 }, [right]: { ns: 7000, ratio: 14 } },
      },
    ]);
  });
});

describe('the packages', () => {
  const manifest = (path: string, content: object): void => {
    mkdirSync(join(folder, path), { recursive: true });
    writeFileSync(join(folder, path, 'package.json'), JSON.stringify(content));
  };

  it('are installed when all are there in the versions asked for', () => {
    const dependencies = { left: '1.0.0', '@some/right': '2.0.0' };
    manifest('wanted', { dependencies });
    const wanted = join(folder, 'wanted');
    manifest('wanted/node_modules/left', { version: '1.0.0' });
    expect(areInstalled(wanted)).toBe(false);
    manifest('wanted/node_modules/@some/right', { version: '1.9.0' });
    expect(areInstalled(wanted)).toBe(false);
    manifest('wanted/node_modules/@some/right', { version: '2.0.0' });
    expect(areInstalled(wanted)).toBe(true);
    expect(installJsPeers(wanted, () => expect.fail('nothing to install'))).toBeNull();
  });

  it('are done without, with a reason, where npm cannot get them', () => {
    manifest('unreachable', { dependencies: { missing: 'file:./no-such-package.tgz' } });
    const said: string[] = [];
    const reason = installJsPeers(join(folder, 'unreachable'), (what) => said.push(what));
    expect(reason).toMatch(/^npm install failed: /);
    expect(said.join()).toContain('--ignore-scripts');
  });
});

describe('the tables of a comparison', () => {
  it('say what is missing and what was refused', () => {
    const comparison = { isa: 'x', kernels: [], publicApi: [], versions: { a: '1' } };
    const text = comparisonTables({ ...comparison, missing: { b: 'not here' }, refused: { c: 'wrong' } }, []);
    expect(text).toBe('Versions\n  a: 1\n\nNot measured\n  b: not here\n\nRefused\n  c: wrong');
  });
});
