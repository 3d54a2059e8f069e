/** `import 'lorakeet'` in a process of its own: what does it load? Runs against dist/, which `npm test` builds first. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { root } from '../support/imports.js';

const hooks = `
  export async function initialize({ port }) { globalThis.port = port; }
  export async function resolve(specifier, context, next) {
    const result = await next(specifier, context);
    globalThis.port.postMessage(result.url);
    return result;
  }`;

/** Runs `code` as a module and returns the URLs of all modules loaded, those that require() loaded included. */
function modulesLoadedBy(code: string): string[] {
  const program = `
    import { createRequire, register } from 'node:module';
    import { pathToFileURL } from 'node:url';
    import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
    const { port1, port2 } = new MessageChannel();
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}), {
      data: { port: port2 },
      transferList: [port2],
    });
    await import('data:text/javascript,' + encodeURIComponent(${JSON.stringify(code)}));
    const urls = new Set(Object.keys(createRequire(import.meta.url).cache).map((path) => pathToFileURL(path).href));
    for (let message; (message = receiveMessageOnPort(port1)); ) urls.add(message.message);
    console.log(JSON.stringify([...urls]));
    process.exit(0);`;
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: root,
    encoding: 'utf8',
  });
  return JSON.parse(output.trim().split('\n').at(-1) as string);
}

/** Neither Node's own, nor ours, nor the one dependency that finds the native addon. */
function foreign(urls: readonly string[]): string[] {
  const ours = ['dist/', 'build/', 'prebuilds/', 'package.json'].map((path) => pathToFileURL(join(root, path)).href);
  return urls.filter(
    (url) =>
      !/^(node|data):|\/node_modules\/node-gyp-build\//.test(url) && !ours.some((prefix) => url.startsWith(prefix)),
  );
}

const entry = JSON.stringify(pathToFileURL(join(root, 'dist/index.js')).href);

describe("import 'lorakeet'", () => {
  it('has a build to look at', () => {
    expect(existsSync(join(root, 'dist/index.js')), 'dist/index.js is missing: run `npm run build`').toBe(true);
  });

  it('loads no optional dependency', () => {
    const urls = modulesLoadedBy(`await import(${entry})`);
    expect(urls.some((url) => url.endsWith('/dist/errors.js'))).toBe(true);
    expect(foreign(urls)).toEqual([]);
  });

  it('nor does any other entry of the package, but for that of the service', () => {
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const { './service': _, './package.json': __, ...entries } = exports as Record<string, { default: string }>;
    const files = Object.values(entries).map((target) => pathToFileURL(join(root, target.default)).href);
    const all = files.map((file) => `await import(${JSON.stringify(file)});`);
    const urls = modulesLoadedBy(all.join('\n'));
    expect(urls.some((url) => url.endsWith('/dist/learning/index.js'))).toBe(true);
    expect(foreign(urls)).toEqual([]);
  });

  it('would be caught loading one, imported or required', () => {
    const tinybench = JSON.stringify(pathToFileURL(join(root, 'node_modules/tinybench/dist/index.js')).href);
    expect(foreign(modulesLoadedBy(`await import(${tinybench})`))).not.toEqual([]);
    const semver = JSON.stringify(join(root, 'node_modules/semver'));
    const required = `import { createRequire } from 'node:module'; createRequire(${entry})(${semver});`;
    expect(foreign(modulesLoadedBy(required))).not.toEqual([]);
  });
});
