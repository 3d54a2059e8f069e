/** Reads the imports of source files with a plain regular expression; Biome's format makes that enough. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface ImportedModule {
  specifier: string;
  /** `import type` or `export type`: gone after compilation. */
  typeOnly: boolean;
}

/** The source files of ours below a folder of the repository, relative to that folder, with forward slashes. */
export function sourceFiles(folder: string, pattern = /\.(ts|mjs)$/): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => pattern.test(name) && !name.includes('node_modules/'))
    .sort();
}

/** Everything that the file imports: statically, dynamically, or through a function called require. */
export function importsOf(path: string): ImportedModule[] {
  const code = readFileSync(join(root, path), 'utf8').replace(/^\s*(\/\*\*?|\*|\/\/).*$/gm, '');
  const statements = [...code.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s+)?'([^']+)'/gm)];
  const calls = [...code.matchAll(/(?:\b(?:import|require|require\.resolve)|createRequire\([^)]*\))\(\s*'([^']+)'/g)];
  return [
    ...statements.map(([, type, specifier]) => ({ specifier, typeOnly: type !== undefined })),
    ...calls.map(([, specifier]) => ({ specifier, typeOnly: false })),
  ];
}

/** The headers that a C or C++ file includes. */
export function includesOf(path: string): string[] {
  return [...readFileSync(join(root, path), 'utf8').matchAll(/^\s*#\s*include\s+[<"]([^>"]+)[>"]/gm)].map(
    (match) => match[1],
  );
}

/** The package that a bare specifier belongs to; null for relative paths, our own inner modules (#…) and Node's. */
export function packageOf(specifier: string): string | null {
  if (/^(\.|#|node:|data:)/.test(specifier)) return null;
  const parts = specifier.split('/');
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : parts[0];
}
