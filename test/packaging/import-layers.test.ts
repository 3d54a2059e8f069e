import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, includesOf, sourceFiles } from '../support/imports.js';
import { BACKEND_FILES, LAYERS, MAY_NAME_A_BACKEND } from './layers.js';

interface Edge {
  from: string;
  to: string;
}

/** Every import of one source file by another, as paths relative to src. */
const edges: Edge[] = sourceFiles('src').flatMap((from) =>
  importsOf(`src/${from}`)
    .filter(({ specifier }) => specifier.startsWith('.'))
    .map(({ specifier }) => ({ from, to: posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts') })),
);

/** The part of src that a file belongs to: its top folder, or its own name at the top. */
const partOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : file.replace(/\.ts$/, ''));

const show = ({ from, to }: Edge) => `src/${from} imports src/${to}`;

function violations(all: readonly Edge[]): string[] {
  return all
    .filter(({ from, to }) => partOf(from) !== partOf(to) && !LAYERS[partOf(from)]?.includes(partOf(to)))
    .map(show);
}

describe('import layers', () => {
  it('sees the imports of the source', () => {
    expect(edges).toContainEqual({ from: 'checks.ts', to: 'errors.ts' });
    expect(edges.length).toBeGreaterThan(sourceFiles('src').length / 2);
  });

  it('has a row for every part of src', () => {
    expect([...new Set(sourceFiles('src').map(partOf))].filter((part) => !(part in LAYERS))).toEqual([]);
  });

  it('has no cycle in its table', () => {
    const finished = new Set<string>();
    const visit = (part: string, path: readonly string[]) => {
      if (path.includes(part)) throw new Error(`cycle: ${[...path, part].join(' → ')}`);
      if (finished.has(part)) return;
      for (const next of LAYERS[part] ?? []) visit(next, [...path, part]);
      finished.add(part);
    };
    for (const part of Object.keys(LAYERS)) visit(part, []);
  });

  it('lets every part import only what its row allows', () => {
    expect(violations(edges)).toEqual([]);
  });

  it('would notice an import against the layers', () => {
    expect(violations([{ from: 'kernels/js.ts', to: 'adapter/codec.ts' }])).toHaveLength(1);
    expect(violations([{ from: 'errors.ts', to: 'checks.ts' }])).toHaveLength(1);
  });

  it('lets nothing import index.ts', () => {
    expect(edges.filter(({ to }) => to === 'index.ts').map(show)).toEqual([]);
  });

  it('lets only those that choose name a concrete backend', () => {
    const naming = edges.filter(
      ({ from, to }) => BACKEND_FILES.includes(to) && !MAY_NAME_A_BACKEND.some((allowed) => from.startsWith(allowed)),
    );
    expect(naming.map(show)).toEqual([]);
  });

  it('keeps native/ free of N-API and JavaScript', () => {
    const users = sourceFiles('native', /\.(h|cc|cu|cuh|inl)$/).filter((file) =>
      includesOf(`native/${file}`).some((header) => /napi|node_api|v8|uv\.h/.test(header)),
    );
    expect(users).toEqual([]);
  });
});
