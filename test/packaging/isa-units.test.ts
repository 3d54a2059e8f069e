/**
 * Each instruction set has a translation unit of its own, compiled with its own flags. A function with external or weak
 * linkage in one of them could be picked by the linker for the whole addon, which then dies on an older processor. So each
 * unit may define exactly one visible symbol: the function that returns its kernels.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isRequired } from '../support/coverage-report.js';
import { root } from '../support/imports.js';

const folder = join(root, 'build/CMakeFiles/lorakeet_cpu.dir/native');
const objects = ['cpu', 'decoder', 'dense']
  .filter((part) => existsSync(join(folder, part)))
  .flatMap((part) => readdirSync(join(folder, part)).map((name) => `${part}/${name}`))
  .filter((name) => /^(cpu\/kernels|decoder\/(?:decoder|products)|dense\/dense)_\w+\.cc\.o$/.test(name));

/** Names of the symbols that a unit defines and others can see, as C++ spells them; null without nm. */
function visibleSymbols(object: string): string[] | null {
  try {
    const args = ['--demangle', '--defined-only', '--extern-only', '--format=posix', join(folder, object)];
    const lines = execFileSync('nm', args, { encoding: 'utf8' }).trim().split('\n');
    return lines.map((line) => line.replace(/ [A-Za-z] [0-9a-f]+ ?[0-9a-f]*$/, ''));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

describe('the units of the instruction sets', () => {
  it('define one visible symbol each', (test) => {
    const found = objects.map((object) => [object, visibleSymbols(object)] as const);
    if (found.length === 0 || found.some(([, symbols]) => symbols === null)) {
      expect(isRequired('nm'), 'LORAKEET_REQUIRE lists nm').toBe(false);
      test.skip('no objects of a native build with make or ninja, or no nm');
    }
    for (const [object, symbols] of found) {
      const [, kind, isa] = /(kernels|decoder|products|dense)_(\w+)\.cc\.o$/.exec(object) as RegExpExecArray;
      expect(symbols, object).toEqual([`lorakeet::${isa}_${kind}()`]);
    }
  });
});
