import { describe, expect, it } from 'vitest';
import type { KernelRow } from '../../bench/src/kernel-suite.js';
import { timePeers, withPeers } from '../../bench/src/peers/kernel-peers.js';
import type { Peer } from '../../bench/src/peers/native-peers.js';
import { type PeerProblem, PeerProcess, type PeerProgram, parseNames } from '../../bench/src/peers/peer-process.js';
import { ratioTable } from '../../bench/src/peers/tables.js';
import { benchConfig } from '../../bench/src/population.js';
import { jsBackend } from '../../src/kernels/js.js';
import { range, readStates, runUpdate } from '../../src/testing/harness.js';

/** A peer that asks our own JavaScript kernel, and spoils its answers. */
class Echo implements PeerProgram {
  timed = 0;
  constructor(
    private readonly spoil: (answer: Float32Array, problem: PeerProblem) => Float32Array = (answer) => answer,
    private readonly times: Record<string, number> = {},
  ) {}

  names = async () => ({ echo: '1' });
  close = async () => {};

  async check(_peer: string, problem: PeerProblem, [steps, slabs, x, target]: readonly Float32Array[]) {
    const { users, rows } = problem;
    const pool = jsBackend.createPool(benchConfig(problem, 'sgd', users));
    const slots = range(users);
    pool.write(slots, slabs, new Uint32Array(users));
    if (problem.operation === 'apply') {
      const y = new Float32Array(x.length);
      pool.apply({ slots: Uint32Array.from({ length: users * rows }, (_, row) => Math.floor(row / rows)), x }, y);
      return this.spoil(y, problem);
    }
    const of = (index: number) => Float32Array.from(slots, (user) => steps[3 * user + index]);
    const rowOffsets = Uint32Array.from({ length: users + 1 }, (_, user) => user * rows);
    const parameters = { learningRate: of(0), maxGradNorm: of(1), ewcLambda: of(2) };
    const { loss, gradNorm, flags } = runUpdate(pool, { slots, rowOffsets, x, target, ...parameters });
    const answer = [...readStates(pool, slots).slabs, ...loss, ...gradNorm, ...flags];
    return this.spoil(Float32Array.from(answer), problem);
  }

  async time(peers: readonly string[]) {
    this.timed++;
    return peers.map((peer) => this.times[peer] ?? 1);
  }
}

const SHAPE = { dim: 24, rank: 3 };
const PROBLEMS = { shapes: [SHAPE], rows: [1, 5], users: () => 4 };

function peerOf(program: PeerProgram, more: Partial<Peer> = {}): Peer {
  return { label: 'echo', name: 'echo', version: '1', program, own: 'lorakeet:x', ...more };
}

describe('peers of the kernels', () => {
  it('are timed in turn with ours, and set against it', async () => {
    const echo = new Echo(undefined, { 'lorakeet:x': 10, echo: 25, other: 5 });
    const late = new Echo(undefined, { late: 40 });
    const peers = [
      peerOf(echo),
      peerOf(echo, { label: 'second', name: 'other' }),
      peerOf(late, { label: 'late', name: 'late', own: undefined }),
    ];
    const { timings, refused } = await timePeers(peers, PROBLEMS);
    expect(refused).toEqual({});
    expect(timings.map(({ op, n }) => `${op} ${n}`)).toEqual(['apply 1', 'update 1', 'apply 5', 'update 5']);
    for (const timing of timings) {
      expect(timing).toMatchObject({ ...SHAPE, users: 4, ours: 10 });
      expect(timing.peers).toEqual({
        echo: { ns: 25, ratio: 2.5 },
        second: { ns: 5, ratio: 0.5 },
        late: { ns: 40, ratio: 4 },
      });
    }
  });

  const shift = (index: number, factor: number) => (answer: Float32Array) => {
    const at = index < 0 ? answer.length + index : index;
    answer[at] *= factor;
    return answer;
  };
  const update = (spoil: (answer: Float32Array) => Float32Array) => (answer: Float32Array, problem: PeerProblem) =>
    problem.operation === 'update' ? spoil(answer) : answer;

  it.each([
    ['a number of y', shift(7, 1.001)],
    ['a weight of A', update(shift(0, 1.01))],
    ['a weight of B', update(shift(SHAPE.dim * SHAPE.rank + 1, 1.01))],
    ['the loss', update(shift(-6, 1.001))],
    ['the norm of the gradient', update(shift(-4, 1.001))],
    ['what was clipped', update((answer) => answer.fill(1 - answer[answer.length - 1], -1))],
    ['the Fisher, which is not to change', update(shift(2 * SHAPE.dim * SHAPE.rank + 3, 1.01))],
    ['a number missing', (answer: Float32Array) => answer.subarray(1)],
    ['NaN', (answer: Float32Array) => answer.fill(Number.NaN, 3, 4)],
  ])('are refused, and never timed, when they are wrong: %s', async (_, spoil) => {
    const [wrong, right] = [new Echo(spoil), new Echo()];
    const peers = [peerOf(wrong), peerOf(right, { label: 'right' })];
    const { timings, refused } = await timePeers(peers, PROBLEMS);
    expect(Object.keys(refused)).toEqual(['echo']);
    expect(wrong.timed).toBe(0);
    expect(right.timed).toBe(4);
    for (const timing of timings) expect(Object.keys(timing.peers)).toEqual(['right']);
  });

  it('stand in the rows of the kernel table that did the same work', () => {
    const row = { op: 'update', optimizer: 'sgd', ...SHAPE, n: 5, isa: 'x', population: 'cached' } as KernelRow;
    const rows = [
      { ...row, nsPerUser: 10, jsRatio: 3 },
      { ...row, optimizer: 'adamw' as const },
      { ...row, population: 'streaming' as const },
      { ...row, isa: 'js' },
    ];
    const timing = { op: 'update' as const, ...SHAPE, n: 5, users: 4, ours: 8, peers: { echo: { ns: 16, ratio: 2 } } };
    const [first, ...others] = withPeers(rows, { isa: 'x', kernels: [timing, { ...timing, n: 1, peers: {} }] });
    expect(first.peers).toEqual({ echo: { ns: 16, ratio: 2 }, js: { ns: 30, ratio: 3 } });
    for (const other of others) expect(other.peers).toBeUndefined();
  });

  it('are a column each, empty where one was not measured', () => {
    const table = ratioTable(['<op', 'n'], 'ours', [
      { cells: ['apply', '1'], ours: 1234.4, peers: { a: { ns: 1, ratio: 2.345 } } },
      { cells: ['update', '8'], ours: 99.94, peers: { a: { ns: 1, ratio: 23.45 }, b: { ns: 1, ratio: 234.5 } } },
    ]);
    expect(table.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
      ['op', 'n', 'ours', 'a', 'b'],
      ['------', '-', '----', '----', '---'],
      ['apply', '1', '1234', '2.35'],
      ['update', '8', '99.9', '23.4', '235'],
    ]);
  });
});

describe('the program of a peer', () => {
  const problem: PeerProblem = { operation: 'apply', ...SHAPE, users: 1, rows: 1 };
  const script = (code: string) => new PeerProcess(process.execPath, ['-e', code]);

  it('tells names and versions', () => {
    expect(parseNames('a=1.0\tb-c=2 x=y')).toEqual({ a: '1.0', 'b-c': '2 x=y' });
    expect(() => parseNames('Traceback')).toThrow('expected name=version');
  });

  it('gets the data, and its answer is put together from pieces', async () => {
    const program = script(String.raw`
      let got = Buffer.alloc(0);
      process.stdin.on('data', (part) => {
        got = Buffer.concat([got, part]);
        const start = got.indexOf('\n') + 1;
        if (start === 0 || got.length < start + 8) return;
        process.stdout.write('2');
        setImmediate(() => { process.stdout.write('\n'); process.stdout.write(got.subarray(start, start + 5));
          setImmediate(() => process.stdout.write(got.subarray(start + 5, start + 8))); });
      });
    `);
    expect(await program.check('a', problem, [Float32Array.of(1.5), Float32Array.of(-2)])).toEqual(
      Float32Array.of(1.5, -2),
    );
    await program.close();
  });

  it('is told apart from one that fails, ends, or does not exist', async () => {
    const failing = script(`process.stdin.on('data', () => console.log('error out of luck'))`);
    await expect(failing.check('a', problem, [])).rejects.toThrow('a: out of luck');
    await failing.close();
    await expect(script(`console.error('no torch'); process.exit(1)`).names()).rejects.toThrow('no torch');
    await expect(new PeerProcess('no-such-program').names()).rejects.toThrow('ENOENT');
  });

  it.each(['0', 'NaN', '-1', 'Infinity'])('is not believed a time of %s', async (time) => {
    const program = script(String.raw`
      process.stdin.once('data', () => process.stdout.write(Buffer.concat([Buffer.from('1\n'), Buffer.from(Float32Array.of(${time}).buffer)])));
    `);
    await expect(program.time(['a'], problem)).rejects.toThrow('expected one positive time');
    await program.close();
  });
});
