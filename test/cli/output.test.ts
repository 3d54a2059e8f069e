import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { openProgress } from '../../src/cli/progress.js';
import { parsePrometheus } from '../../src/cli/prometheus.js';
import { bytes, fields, table } from '../../src/cli/text.js';

function screen(isTTY: boolean) {
  let text = '';
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    text += chunk;
    done();
  };
  return Object.assign(new Writable({ write }), { isTTY, columns: 80, text: () => text });
}

describe('progress', () => {
  it('is a bar for each phase where somebody watches', async () => {
    const output = screen(true);
    const progress = await openProgress(output);
    progress.update('queued', 0, 0);
    progress.update('train', 1, 4, 'loss 1.5');
    progress.update('train', 2, 4, 'loss 1.0');
    progress.update('publish', 0, 1);
    progress.stop();
    progress.stop();
    expect(output.text()).toMatch(/^queued\n/);
    expect(output.text()).toMatch(/train {4}\[[=-]+\] 50% loss 1\.0/);
    expect(output.text()).toMatch(/publish {2}\[-+\] 0%/);
  });

  it('is a line for each phase and each tenth elsewhere', async () => {
    const output = screen(false);
    const progress = await openProgress(output);
    for (let step = 0; step <= 100; step++) progress.update('train', step, 100);
    for (let row = 0; row <= 1000; row++) progress.update('import', row, 0);
    progress.stop();
    const lines = output.text().trimEnd().split('\n');
    expect(lines.slice(0, 3)).toEqual(['train 0%', 'train 10%', 'train 20%']);
    expect(lines).toHaveLength(11 + 11);
    expect(lines.at(-1)).toBe('import 512');
  });
});

describe('what Prometheus reads', () => {
  it('is metrics with their samples, those of histograms included', () => {
    const text = `# HELP seconds How long.
# TYPE seconds histogram
seconds_bucket{le="0.1",path="a\\"b\\nc"} 3
seconds_bucket{le="+Inf"} 4
seconds_sum 0.5
seconds_count 4
# HELP ratio A share.
# TYPE ratio gauge
ratio NaN
alone{x="1"} 2e3 1700000000
`;
    const [seconds, ratio, alone] = parsePrometheus(text);
    expect(seconds).toMatchObject({ name: 'seconds', help: 'How long.', type: 'histogram' });
    expect(seconds.samples).toEqual([
      { name: 'seconds_bucket', labels: { le: '0.1', path: 'a"b\nc' }, value: 3 },
      { name: 'seconds_bucket', labels: { le: '+Inf' }, value: 4 },
      { name: 'seconds_sum', labels: {}, value: 0.5 },
      { name: 'seconds_count', labels: {}, value: 4 },
    ]);
    expect(ratio.samples).toEqual([{ name: 'ratio', labels: {}, value: 'NaN' }]);
    expect(alone).toEqual({ name: 'alone', samples: [{ name: 'alone', labels: { x: '1' }, value: 2000 }] });
  });
});

describe('lines for people', () => {
  it('are in columns, numbers to the right', () => {
    const rows = [
      ['a', 1, null],
      ['bcd', 200, ['x', 'y']],
    ];
    expect(table(['name', 'n', 'list'], rows, 'none')).toEqual(['name    n  list', 'a       1  -', 'bcd   200  x, y']);
    expect(table(['name'], [], 'none')).toEqual(['none']);
    const shown = fields([
      ['is', true],
      ['not there', undefined],
      ['long', 'a\nb'],
    ]);
    expect(shown).toEqual(['is    yes', 'long  a; b']);
  });

  it('have sizes that can be read', () => {
    expect([0, 1023, 1024, 1536 * 1024].map(bytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '1.5 MiB']);
  });
});
