/** Commands that need no service: they work on files, and on the stores of a configuration. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readPeft } from '../../src/adapter/formats/peft-reader.js';
import { writePeft } from '../../src/adapter/formats/peft-writer.js';
import { STRATEGIES } from '../../src/cli/merge-strategies.js';
import * as merges from '../../src/merge/index.js';
import { FileVersionStore } from '../../src/stores/file-versions.js';
import { AdapterVersions } from '../../src/versions/adapter-versions.js';
import { root } from '../support/imports.js';
import { deltaOf, modulesOf, publish } from './adapters.js';
import { run, runJson } from './run.js';

const MODEL = join(root, 'models/tiny-shakespeare-llama');
let folder: string;
let stored: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-cli-'));
  stored = ['--set', `storage.folder=${join(folder, 'data')}`];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const versionsFolder = () => at('data/versions');

describe('feedback in a store', () => {
  const lines = [
    {
      id: 'a',
      created_at: '2026-01-05T02:00:00.000Z',
      feedback_type: 'thumbs_up',
      request_data: { intent: 'greet' },
      response_data: {},
    },
    {
      id: 'b',
      created_at: '2026-01-06T02:00:00.000Z',
      feedback_type: 'thumbs_down',
      request_data: {},
      response_data: {},
      reason: 'short',
    },
  ];
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');

  it('comes from a file, is counted, and goes back into one as it was', async () => {
    writeFileSync(at('in.jsonl'), text);
    const first = await runJson(['feedback', 'import', at('in.jsonl'), ...stored]);
    expect(first).toMatchObject({ code: 0, json: { lines: 2, added: 2, duplicates: 0, rejected: 0, errors: [] } });
    expect((await runJson(['feedback', 'import', at('in.jsonl'), ...stored])).json).toMatchObject({
      added: 0,
      duplicates: 2,
    });

    const counts = await runJson(['feedback', 'count', ...stored]);
    expect(counts.json).toMatchObject({
      total: 2,
      by_type: { thumbs_up: 1, thumbs_down: 1 },
      by_intent: { greet: 1, unknown: 1 },
    });
    const later = await runJson(['feedback', 'count', '--since', '2026-01-06', ...stored]);
    expect(later.json).toMatchObject({ total: 1, by_type: { thumbs_down: 1 } });

    const out = await run(['feedback', 'export', ...stored]);
    const rows = out.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([out.code, rows]).toEqual([0, [expect.objectContaining(lines[0]), expect.objectContaining(lines[1])]]);
    const file = await runJson(['feedback', 'export', '--output', at('out.jsonl'), ...stored]);
    expect(file.json).toEqual({ rows: 2, output: at('out.jsonl') });
    expect(readFileSync(at('out.jsonl'), 'utf8')).toBe(out.stdout);
  });

  it('comes from standard input; lines that are wrong are left out, named, and a failure', async () => {
    const ran = await run(['feedback', 'import', '-', ...stored], { stdin: `${text}{"feedback_type": 3}\nnonsense\n` });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^-:3: feedback.type: got 3.*$/m);
    expect(ran.stderr).toMatch(/^-:4: is not JSON.*$/m);
    expect(ran.stdout).toMatch(/added +2\n.*\nrejected +2\n/);
  });

  it('is not there, or not readable', async () => {
    expect((await run(['feedback', 'import', at('none.jsonl'), ...stored])).code).toBe(1);
    const twice = await run(['feedback', 'count', '--set', 'feedback.kind=postgres']);
    expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('postgres.url')]);
    const unknown = await run(['feedback', 'count', '--set', 'feedback.kinds=sqlite']);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('feedback.kinds')]);
  });
});

describe('validation of files', () => {
  const suite = JSON.stringify({
    cases: [
      { id: 'a', prompt: 'p', must_include: ['yes'] },
      { id: 'b', prompt: 'q', must_include: ['no'] },
    ],
  });
  const answers = (a: string, b: string) => JSON.stringify({ outputs: { a, b } });

  it('has the verdict as exit code', async () => {
    writeFileSync(at('suite.json'), suite);
    writeFileSync(at('good.json'), answers('yes', 'no'));
    writeFileSync(at('bad.json'), answers('maybe', 'no'));
    const flags = ['validate', '--suite', at('suite.json'), '--baseline-output', at('good.json'), '--candidate-output'];
    const good = await runJson([...flags, at('good.json')]);
    expect(good).toMatchObject({ code: 0, json: { approved: true, comparison: { mean_score_drop: 0 } } });
    const bad = await runJson([...flags, at('bad.json')]);
    expect(bad).toMatchObject({ code: 1, json: { approved: false, comparison: { regressed_cases: ['a'] } } });
    const text = await run([...flags, at('bad.json')]);
    expect(text.stdout).toMatch(/^not approved\n- .*the mean score drops by 0.5/);
    // every threshold that this one breaks, raised
    const lenient = ['--max-mean-score-drop', '0.5', '--max-mean-score-drop-pct', '0.5', '--min-pass-rate', '0.5'];
    expect((await run([...flags, at('bad.json'), ...lenient])).code).toBe(0);
    expect((await run([...flags, at('bad.json'), ...lenient, '--max-regressions', '0'])).code).toBe(1);
    expect((await run([...flags, at('none.json')])).code).toBe(1);
  });
});

describe('merging', () => {
  it('has every merge that there is', () => {
    const camel = (name: string) => name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const named = Object.keys(STRATEGIES).map((name) => (name === 'peft' ? 'peftCompat' : camel(name)));
    const notMerges = ['modulesOfState', 'stateOfModule'];
    const functions = Object.entries(merges).filter(
      ([name, value]) => typeof value === 'function' && !notMerges.includes(name),
    );
    expect(named.sort()).toEqual(functions.map(([name]) => name).sort());
  });

  it.each([
    ['average', []],
    ['weighted-average', ['--weights', '3,1']],
    ['task-arithmetic', ['--weights', '1,-0.5']],
    ['concatenate', []],
    ['tsv', ['--keep', '1', '--lambda', '2']],
    ['ties', ['--density', '0.5', '--space', 'core', '--majority-sign', 'frequency']],
    ['dare-linear', ['--density', '0.5', '--space', 'core', '--seed', '3']],
    ['dare-ties', ['--density', '0.5', '--space', 'core']],
    ['magnitude-prune', ['--density', '0.5', '--space', 'core']],
    ['peft', ['--combination-type', 'linear', '--weights', '1,1']],
  ])('of two folders by %s', async (strategy, options) => {
    await writePeft(at('a'), modulesOf(1));
    await writePeft(at('b'), modulesOf(2));
    const args = ['merge', at('a'), at('b'), '--strategy', strategy, ...options, '--output', at('merged')];
    const { code, json } = await runJson<{ residual: number; rank: number; adapters: string[] }>(args);
    expect(code).toBe(0);
    expect(json).toMatchObject({ strategy, output: at('merged'), adapters: ['a', 'b'], modules: 5 });
    const merged = deltaOf((await readPeft(at('merged'))).modules);
    expect(merged.some((value) => value !== 0)).toBe(true);
    if (strategy !== 'average') return;
    const [a, b] = [1, 2].map((seed) => deltaOf(modulesOf(seed)));
    merged.forEach((value, i) => {
      expect(Math.abs(value - (a[i] + b[i]) / 2)).toBeLessThan(1e-6);
    });
  });

  it('refuses what a strategy does not take, and what it lacks', async () => {
    await writePeft(at('a'), modulesOf(1));
    const merge = (...more: string[]) => run(['merge', at('a'), at('a'), '--output', at('m'), ...more]);
    expect(await merge('--density', '0.5')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('average has no --density'),
    });
    expect(await merge('--strategy', 'ties')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('ties needs --density'),
    });
    const truncate = await merge('--strategy', 'truncate', '--rank', '1');
    expect(truncate).toMatchObject({ code: 2, stderr: expect.stringContaining('got 2 adapters') });
    expect(readdirSync(folder)).toEqual(['a']);
  });

  it('of a folder and a version becomes a version with parents, neither approved nor active', async () => {
    await writePeft(at('a'), modulesOf(1));
    await publish(versionsFolder(), modulesOf(2));
    const args = ['merge', at('a'), 'v1.0', '--publish', '--set', `model.folder=${MODEL}`, ...stored];
    expect(await runJson(args)).toMatchObject({ code: 0, json: { version: 'v1.1', strategy: 'average', residual: 0 } });
    const store = await FileVersionStore.open(versionsFolder());
    const { manifest, files } = await new AdapterVersions(store, 'default').load('v1.1');
    expect([...files.keys()].sort()).toEqual(['adapter.bin', 'adapter_config.json', 'adapter_model.safetensors']);
    expect(manifest).toMatchObject({
      parents: [{ version: 'v1.0' }],
      baseModel: { name: 'tiny', sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
      training: { merge: { strategy: 'average', adapters: ['a', 'v1.0'] } },
    });
    const { versions, aliases } = await new AdapterVersions(store, 'default').state();
    expect(versions[1]).toMatchObject({ version: 'v1.1', approved: false });
    expect(aliases).toEqual({});
    store.close();
  });

  it('needs a base model to publish, and versions that are there', async () => {
    await publish(versionsFolder(), modulesOf(2));
    const publishing = await run(['merge', 'v1.0', '--publish', ...stored]);
    expect(publishing).toMatchObject({ code: 2, stderr: expect.stringContaining('model.folder') });
    const missing = await run(['merge', 'v1.0', 'v7.0', '--output', at('m'), ...stored]);
    expect([missing.code, missing.stderr]).toEqual([6, expect.stringContaining('v7.0')]);
  });
});

describe('exporting', () => {
  it('writes a version as the PEFT folder that it was made from', async () => {
    await publish(versionsFolder(), modulesOf(3));
    expect(await runJson(['export', 'v1.0', '--output', at('peft'), ...stored])).toMatchObject({
      code: 0,
      json: { version: 'v1.0', format: 'peft', output: at('peft') },
    });
    const { modules, settings } = await readPeft(at('peft'));
    expect(settings).toMatchObject({ baseModel: 'tiny', taskType: 'CAUSAL_LM' });
    const wanted = deltaOf(modulesOf(3));
    expect(Math.max(...deltaOf(modules).map((value, i) => Math.abs(value - wanted[i])))).toBeLessThan(1e-7);
    const half = ['export', 'v1.0', '--output', at('half'), '--dtype', 'BF16', ...stored];
    expect((await run(half)).code).toBe(0);
    expect(readFileSync(at('half/adapter_model.safetensors')).length).toBeLessThan(
      readFileSync(at('peft/adapter_model.safetensors')).length,
    );
  });

  it('writes GGUF for llama.cpp, which needs the base model', async () => {
    await publish(versionsFolder(), modulesOf(3));
    const args = ['export', 'v1.0', '--format', 'gguf', '--output', at('adapter.gguf'), ...stored];
    expect(await run(args)).toMatchObject({ code: 2, stderr: expect.stringContaining('--model') });
    expect((await run([...args, '--model', MODEL])).code).toBe(0);
    expect(readFileSync(at('adapter.gguf')).toString('latin1', 0, 4)).toBe('GGUF');
  });

  it('refuses what is not there', async () => {
    expect((await run(['export', 'v1.0', '--output', at('x'), ...stored])).code).toBe(6);
    expect((await run(['export', 'active', '--output', at('x'), ...stored])).code).toBe(6);
  });
});
