import { afterEach, describe, expect, it } from 'vitest';
import type { AdapterState } from '../../src/adapter/state.js';
import { nativeInfo } from '../../src/kernels/native.js';
import { AdapterServer, type AdapterServerOptions } from '../../src/serving/index.js';
import { SeededRandom } from '../../src/testing/random.js';
import { coded } from '../personalization/samples.js';

const DIM = 64;
const shape = { rank: 1, inFeatures: DIM, outFeatures: DIM, alpha: 1 };
const backends = nativeInfo().available ? (['js', 'cpu'] as const) : (['js'] as const);

const servers: AdapterServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

function newServer(options: Partial<AdapterServerOptions> = {}): AdapterServer {
  const server = new AdapterServer({ shape, residual: false, threads: 1, backend: 'js', ...options });
  servers.push(server);
  return server;
}

/** Gives `value` in every feature for an input of ones: A averages, B is `value` everywhere. */
function constant(value: number): AdapterState {
  const weights = new Float32Array(2 * DIM).fill(1 / DIM, 0, DIM).fill(value, DIM);
  return { shape, weights, step: 0, meta: {} };
}

const ones = (rows: number) => new Float32Array(rows * DIM).fill(1);

describe('AdapterServer', () => {
  it('applies what is deployed, takes names away, and computes as the formula says', async () => {
    const server = newServer();
    server.deploy(
      new Map([
        ['a', constant(2)],
        ['b', constant(3)],
      ]),
    );
    const y = server.apply(['a', 'b', 'a'], ones(3));
    expect([y[0], y[DIM], y[2 * DIM]]).toEqual([2, 3, 2]);
    const out = new Float32Array(DIM);
    expect(server.apply(['b'], ones(1), out)).toBe(out);
    expect(out).toEqual(await server.applyAsync(['b'], ones(1)));
    server.deploy(
      new Map([
        ['a', undefined],
        ['c', constant(5)],
      ]),
    );
    expect(server.names().toSorted()).toEqual(['b', 'c']);
    expect(() => server.apply(['b', 'a'], ones(2))).toThrow(coded('ERR_INVALID_ARGUMENT', 'names[1]: got "a"'));
    const residual = newServer({ residual: undefined });
    residual.deploy(new Map([['a', constant(2)]]));
    expect(residual.apply(['a'], ones(1))[7]).toBe(3);
  });

  it.each(backends)(
    'readers see one deployment, whole, while others come and go in the background (%s)',
    async (backend) => {
      const NAMES = ['a', 'b', 'c', 'd'];
      const ROWS = 400;
      const random = new SeededRandom(1);
      const server = newServer({ backend, capacity: 200 });
      const generation = (value: number) => new Map(NAMES.map((name, i) => [name, constant(100 * value + i)]));
      server.deploy(generation(0));
      const x = ones(ROWS);
      const seen = new Set<number>();
      const reads: Promise<void>[] = [];
      for (let value = 1; value <= 40; value++) {
        for (let i = random.integer(0, 2); i >= 0; i--) {
          const names = Array.from({ length: ROWS }, () => NAMES[random.integer(0, 3)]);
          const before = value - 1;
          reads.push(
            server.applyAsync(names, x).then((y) => {
              names.forEach((name, row) => {
                const expected = 100 * before + NAMES.indexOf(name);
                for (const j of [0, DIM - 1])
                  if (y[row * DIM + j] !== expected) throw new Error(`got ${y[row * DIM + j]}`);
              });
              seen.add(before);
            }),
          );
        }
        server.deploy(generation(value));
        expect(server.apply(['c'], ones(1))[0]).toBe(100 * value + 2);
        if (random.uniform() < 0.3) await reads.at(-1);
      }
      await Promise.all(reads);
      expect(seen.size).toBe(40);
      expect(server.versions).toBe(NAMES.length);
    },
  );

  it('gives the memory of versions that nobody sees any more to later ones', async () => {
    const server = newServer({ capacity: 3 });
    for (let value = 0; value < 50; value++) {
      server.deploy(new Map([['a', constant(value)]]));
      expect(server.apply(['a'], ones(1))[0]).toBe(value);
    }
    server.deploy(new Map([['b', constant(-1)]]));
    const reading = server.applyAsync(['a', 'b'], ones(2));
    server.deploy(new Map([['a', constant(100)]]));
    expect(server.versions).toBe(3);
    // the version of a that is being read still has its place
    expect(() => server.deploy(new Map([['b', constant(101)]]))).toThrow(
      coded('ERR_POOL_FULL', 'got 1 new versions, expected at most 0 beside the 3 in use'),
    );
    const y = await reading;
    expect([y[0], y[DIM]]).toEqual([49, -1]);
    server.deploy(new Map([['b', constant(101)]]));
    expect(Array.from(server.apply(['a', 'b'], ones(2))).filter((_, i) => i % DIM === 0)).toEqual([100, 101]);
  });

  it('changes nothing when one of several adapters is wrong', () => {
    const server = newServer({ capacity: 4 });
    server.deploy(new Map([['a', constant(1)]]));
    const other = { ...constant(2), shape: { ...shape, alpha: 2 } };
    const nan = constant(3);
    nan.weights[5] = Number.NaN;
    const attempts: [unknown, ReturnType<typeof coded>][] = [
      [{ a: constant(2) }, coded('ERR_INVALID_ARGUMENT', 'adapters')],
      [
        new Map([
          ['a', constant(2)],
          ['b', other],
        ]),
        coded('ERR_ADAPTER_MISMATCH', '"b"'),
      ],
      [
        new Map([
          ['a', constant(2)],
          ['b', nan],
        ]),
        coded('ERR_NOT_FINITE', '"b"'),
      ],
      [
        new Map([
          ['a', undefined],
          [7, constant(2)],
        ] as never),
        coded('ERR_INVALID_ARGUMENT', 'name'),
      ],
      [new Map(['b', 'c', 'd', 'e'].map((name) => [name, constant(2)])), coded('ERR_POOL_FULL')],
    ];
    for (const [adapters, error] of attempts) {
      expect(() => server.deploy(adapters as Map<string, AdapterState>)).toThrow(error);
      expect(server.names()).toEqual(['a']);
      expect(server.apply(['a'], ones(1))[0]).toBe(1);
    }
    expect(() => server.apply(['a'], ones(2))).toThrow(coded('ERR_LENGTH_MISMATCH'));
    expect(server.versions).toBe(1);
    // no place was lost on the way
    server.deploy(new Map(['b', 'c', 'd'].map((name) => [name, constant(2)])));
  });

  it('closes after what runs, and refuses later calls', async () => {
    const server = newServer();
    server.deploy(new Map([['a', constant(1)]]));
    const reading = server.applyAsync(['a'], ones(1));
    const closing = server.close();
    expect(server.close()).toBe(closing);
    expect((await reading)[0]).toBe(1);
    await closing;
    expect(() => server.apply(['a'], ones(1))).toThrow(coded('ERR_SERVICE_CLOSED'));
    await expect(server.applyAsync(['a'], ones(1))).rejects.toEqual(coded('ERR_SERVICE_CLOSED'));
    expect(() => server.deploy(new Map())).toThrow(coded('ERR_SERVICE_CLOSED'));
  });

  it.each([
    ['shape', undefined],
    ['residual', 'yes'],
    ['capacity', 0],
    ['threads', 0],
    ['backend', 'gpu'],
    ['version', 1],
  ])('checks its options: %s', (name, value) => {
    expect(() => newServer({ [name]: value })).toThrow(coded('ERR_INVALID_CONFIG', name));
  });

  it('refuses a residual where features differ', () => {
    expect(() => newServer({ shape: { ...shape, outFeatures: 3 }, residual: true })).toThrow(
      coded('ERR_INVALID_CONFIG', 'false for 64 → 3 features'),
    );
  });
});
