import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OPTIONAL_PACKAGES } from '../../src/cli/doctor/packages.js';
import { importsOf, packageOf, root, sourceFiles } from '../support/imports.js';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const names = (section: string) => Object.keys(manifest[section] ?? {}).sort();

/** Used without an import: run as a command, read by the C++ build, or ambient types. */
const TOOLS = [
  '@biomejs/biome',
  '@types/cli-progress',
  '@types/node',
  '@types/pg',
  'cmake-js',
  'node-addon-api',
  'node-api-headers',
  'typescript',
];

/** What the benchmark compares us with: in a manifest of its own, and installed only when it is asked for. */
const peers = dependenciesOf('bench/peers');
/** What loads the files that we export, likewise for its own check only. */
const readers = dependenciesOf('test/interchange');

function dependenciesOf(folder: string): string[] {
  return Object.keys(JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')).dependencies);
}

/** The packages that the files of these folders import, other than lorakeet itself. */
function importedPackages(folders: readonly string[], { types = true } = {}): string[] {
  const found = folders
    .flatMap((folder) => sourceFiles(folder).flatMap((file) => importsOf(`${folder}/${file}`)))
    .filter(({ typeOnly }) => types || !typeOnly)
    .map(({ specifier }) => packageOf(specifier))
    .filter((name): name is string => name !== null && name !== manifest.name);
  return [...new Set(found)].sort();
}

describe('declared dependencies', () => {
  it('are exactly the packages that the source imports', () => {
    const declared = [...names('dependencies'), ...names('peerDependencies')].sort();
    expect(importedPackages(['src'], { types: false })).toEqual(declared);
  });

  it('of development are the tools and what tests, examples, benchmarks and scripts import', () => {
    const imported = importedPackages(['test', 'examples', 'bench', 'scripts']);
    const declared = [...names('dependencies'), ...names('devDependencies'), ...peers, ...readers];
    expect(imported.filter((name) => !declared.includes(name))).toEqual([]);
    // what the source loads when asked to is here for its tests
    const used = [...imported, ...TOOLS, ...names('peerDependencies')];
    expect(names('devDependencies').filter((name) => !used.includes(name))).toEqual([]);
    expect(TOOLS.filter((name) => !names('devDependencies').includes(name))).toEqual([]);
  });

  it('keep what only the benchmark and the check of exports use out of the package', () => {
    const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
    expect([...peers, ...readers].filter((name) => lock.includes(`"node_modules/${name}"`))).toEqual([]);
    expect(importedPackages(['bench']).filter((name) => peers.includes(name))).toEqual(peers.sort());
  });

  it('that are optional are all known to `lorakeet doctor`', () => {
    expect(OPTIONAL_PACKAGES.map(({ name }) => name).sort()).toEqual(names('peerDependencies'));
    expect(names('peerDependenciesMeta')).toEqual(names('peerDependencies'));
  });

  it('bring no install script of ours', () => {
    const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'prebuild'];
    expect(names('scripts').filter((name) => hooks.includes(name))).toEqual([]);
  });
});

describe('the exports map', () => {
  const entries = Object.entries(manifest.exports as Record<string, string | { types: string; default: string }>);

  it('leads every entry to a source file, types first', () => {
    for (const [entry, target] of entries) {
      if (typeof target === 'string') continue;
      expect(Object.keys(target), entry).toEqual(['types', 'default']);
      const source = target.default.replace('./dist/', '').replace(/\.js$/, '.ts');
      expect(target.types, entry).toBe(target.default.replace(/\.js$/, '.d.ts'));
      expect(sourceFiles('src'), entry).toContain(source);
    }
  });

  it('agrees with main and types for tools that do not read it', () => {
    expect(manifest.exports['.']).toEqual({ types: manifest.types, default: manifest.main });
  });
});
