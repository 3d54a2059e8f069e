import { expect, it } from 'vitest';
import { buildProgram } from '../../bench/src/peers/native-peers.js';
import { bandwidthTable, speedTable, timeProduct } from '../../bench/src/products/program.js';
import { nativeInfo } from '../../src/kernels/native.js';
import { root } from '../support/imports.js';

it('is done without where the addon was not built', () => {
  expect(buildProgram('no-such-folder', 'lorakeet_products_time')).toEqual({
    reason: 'the native addon was not built here',
  });
});

it('times products that agree with those of OpenBLAS', { timeout: 180_000 }, (test) => {
  const [isa] = nativeInfo().isas;
  const built = isa ? buildProgram(root, 'lorakeet_products_time') : { reason: 'there is no native addon here' };
  if ('reason' in built) return test.skip(built.reason);
  const many = timeProduct(built.executable, isa, { threads: 1, rows: 20, out: 70, in: 33, megabytes: 1 });
  const few = timeProduct(built.executable, isa, { threads: 2, rows: 1, out: 70, in: 33, megabytes: 1 });
  for (const { seconds } of [many, few]) {
    expect(Object.keys(seconds)).toEqual(expect.arrayContaining(['openblas', 'f32', 'bf16', 'f32-back']));
    for (const time of Object.values(seconds)) expect(time).toBeGreaterThan(0);
  }
  expect(speedTable([many]).split('\n')).toHaveLength(4);
  expect(bandwidthTable([few]).split('\n')).toHaveLength(3);
  expect(() => timeProduct(built.executable, 'sse9', { threads: 1, rows: 1, out: 1, in: 1, megabytes: 1 })).toThrow(
    'sse9',
  );
});
