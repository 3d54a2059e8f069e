import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writePeft } from '../../src/adapter/formats/peft-writer.js';
import { EXIT_CODES } from '../../src/cli/exit-codes.js';
import { silentLogger } from '../../src/logger.js';
import { loadConfig, openLearningService, type ServedService, serve } from '../../src/service/index.js';
import { modulesOf, publish } from '../cli/adapters.js';
import { allCommands } from '../cli/commands.js';
import { run } from '../cli/run.js';
import { onlyJavaScript } from '../learning/decoder-speed.js';
import { root } from '../support/imports.js';

const text = readFileSync(join(root, 'docs/cli.md'), 'utf8');
const rowsBelow = (heading: string) =>
  (text.split(heading)[1] ?? '')
    .split('\n\n## ')[0]
    .split('\n')
    .filter((line) => /^\| `/.test(line));

describe('the tables of docs/cli.md', () => {
  it('have every command, as its help says', () => {
    const shown = allCommands.filter(({ isHidden }) => !isHidden);
    const rows = shown.map(({ usage, command }) => `| \`${usage}\` | ${command.description()} |`);
    expect(rowsBelow('## Commands')).toEqual(rows);
  });

  it('have every exit code', () => {
    const rows = Object.values(EXIT_CODES).map(([code, about]) => `| \`${code}\` | ${about} |`);
    expect(rowsBelow('## Exit codes')).toEqual(rows);
  });
});

describe('the commands of docs/cli.md', () => {
  const lines = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block]) => block.trim().split('\n'));
  const before = process.cwd();
  let folder: string;
  let served: ServedService;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-docs-cli-'));
    process.chdir(folder);
    symlinkSync(join(root, 'models'), 'models', 'junction');
    const overrides = {
      'service.port': 0,
      'storage.folder': 'served',
      'model.folder': 'models/tiny-shakespeare-llama',
      'schedule.enabled': false,
      'golden.suite': join(root, 'examples/golden-set/tiny-shakespeare.ndjson'),
      'golden.maxNewTokens': 16,
      'training.minimumSamples': 1,
      'lora.rank': 2,
    };
    const { config } = await loadConfig({ env: {}, overrides });
    served = await serve(await openLearningService(config, { logger: silentLogger }), config, {
      logger: silentLogger,
      signals: false,
    });
    const request = { messages: [{ role: 'user', content: 'Who goes there, friend?' }] };
    const response = { choices: [{ message: { role: 'assistant', content: 'It is I, the king of Rome.' } }] };
    const row = { feedback_type: 'thumbs_up', request_data: request, response_data: response };
    writeFileSync('feedback.jsonl', JSON.stringify(row));
    writeFileSync('suite.json', '{"cases": [{"id": "a", "prompt": "p", "must_include": ["yes"]}]}');
    writeFileSync('answers.json', '{"a": "yes"}');
    await writePeft('one', modulesOf(1));
    cpSync('one', 'two', { recursive: true });
    await publish('data/versions', modulesOf(2));
  });

  afterAll(async () => {
    await served?.close();
    process.chdir(before);
    rmSync(folder, { recursive: true, force: true });
  });

  // what needs a version, the JavaScript decoder would train for minutes
  const isQuick = (line: string) => !onlyJavaScript || !/ (train|deploy|disable) /.test(line);
  it.each(lines.filter(isQuick))('%s', async (line) => {
    const [program, ...args] = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
    expect(program).toBe('lorakeet');
    expect(await run(args, { env: { LEARNING_ENGINE_URL: served.url } })).toMatchObject({ code: 0 });
  });
});
