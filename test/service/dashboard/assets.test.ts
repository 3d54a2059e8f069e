import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DASHBOARD_CONTENT_SECURITY_POLICY, dashboardAssets } from '../../../src/service/dashboard/assets.js';
import { root, sourceFiles } from '../../support/imports.js';

const FOLDER = 'src/service/dashboard/page';
const assets = dashboardAssets();
const textOf = (path: string) => assets.find((asset) => asset.path === path)?.body.toString('utf8') ?? '';
const ours = assets.filter(({ path }) => path.endsWith('.js') && !path.includes('uplot'));

describe('the files of the dashboard', () => {
  it('are the page at / and what it loads below /dashboard/, with their types', () => {
    const types = Object.fromEntries(assets.map(({ path, contentType }) => [path, contentType]));
    expect(types).toMatchObject({
      '/': 'text/html; charset=utf-8',
      '/dashboard/main.js': 'text/javascript; charset=utf-8',
      '/dashboard/views/serving.js': 'text/javascript; charset=utf-8',
      '/dashboard/style.css': 'text/css; charset=utf-8',
      '/dashboard/icon.svg': 'image/svg+xml',
      '/dashboard/uplot/uPlot.iife.min.js': 'text/javascript; charset=utf-8',
    });
    expect(new Set(assets.map(({ path }) => path)).size).toBe(assets.length);
    expect(assets.filter(({ path }) => !/^\/(dashboard\/[\w./-]+)?$/.test(path))).toEqual([]);
  });

  it('have a tag each that follows their content', () => {
    for (const { etag } of assets) expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
    const contents = new Set(assets.map(({ body }) => body.toString('utf8')));
    expect(new Set(assets.map(({ etag }) => etag)).size).toBe(contents.size);
    expect(dashboardAssets()).toEqual(assets);
  });

  it('are built from the sources that are here', () => {
    const sources = sourceFiles(FOLDER, /\.ts$/).map((name) => `/dashboard/${name.replace(/\.ts$/, '.js')}`);
    expect(ours.map(({ path }) => path)).toEqual(sources.sort());
    expect(textOf('/dashboard/style.css')).toBe(readFileSync(join(root, FOLDER, 'style.css'), 'utf8'));
  });

  it('load one another and nothing else', () => {
    const paths = assets.map(({ path }) => path);
    const links = [...textOf('/').matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => `/${link}`);
    expect(links).toContain('/dashboard/main.js');
    expect(links.filter((link) => !paths.includes(link))).toEqual([]);
    for (const { path, body } of ours) {
      const names = [...body.toString('utf8').matchAll(/^import .*from '([^']+)'/gm)].map(([, name]) => name);
      const imports = names.map((name) => new URL(name, `http://here${path}`).pathname);
      expect([path, imports.filter((name) => !paths.includes(name))]).toEqual([path, []]);
    }
  });

  it('have no inline script or style, which their policy would refuse', () => {
    expect(textOf('/')).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
    expect(DASHBOARD_CONTENT_SECURITY_POLICY).not.toContain('unsafe');
    expect(DASHBOARD_CONTENT_SECURITY_POLICY).toMatch(/^default-src 'none';/);
  });

  it('make no markup of text', () => {
    const markup = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|eval\(/;
    const all = sourceFiles(FOLDER, /\.ts$/);
    expect(all.filter((name) => markup.test(readFileSync(join(root, FOLDER, name), 'utf8')))).toEqual([]);
  });
});
