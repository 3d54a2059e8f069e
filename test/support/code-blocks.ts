/** The TypeScript in a document is compiled and run, so that it stays true. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from './imports.js';

/** What stands between ```ts and ``` in a document of the repository. */
export function codeBlocksOf(document: string): string[] {
  return [...readFileSync(join(root, document), 'utf8').matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
}

/**
 * Defines the tests of one document; its blocks run one after another in a folder that is gone afterwards. `given` names
 * folders of the repository that are there under the same name.
 */
export function testCodeBlocks(document: string, given: readonly string[] = []): void {
  const blocks = codeBlocksOf(document);
  const folder = join(root, '.setup', 'code-blocks', document);
  const fileOf = (index: number) => join(folder, `block-${index + 1}.ts`);
  const before = process.cwd();
  let working: string;

  beforeAll(() => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    blocks.forEach((code, i) => {
      writeFileSync(fileOf(i), code);
    });
    const config = { extends: join(root, 'tsconfig.check.json'), include: ['*.ts'] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    working = mkdtempSync(join(tmpdir(), 'lorakeet-docs-'));
    for (const name of given) symlinkSync(join(root, name), join(working, name), 'junction');
    process.chdir(working);
  });

  afterAll(() => {
    process.chdir(before);
    rmSync(working, { recursive: true, force: true });
  });

  it('has code that compiles', () => {
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', folder], { encoding: 'utf8' });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it.each(blocks.map((_, i) => i + 1))('has code that runs: block %i', async (number) => {
    await import(pathToFileURL(fileOf(number - 1)).href);
  });
}
