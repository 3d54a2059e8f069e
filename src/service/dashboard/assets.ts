/** The files of the dashboard: what the service answers at / and below /dashboard/. They hold no data and need no token. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { LorakeetError } from '../../errors.js';

export interface DashboardAsset {
  /** Of the URL: `/`, or below `/dashboard/`. */
  path: string;
  contentType: string;
  body: Buffer;
  /** For ETag and If-None-Match, quoted. To be sent with `cache-control: no-cache`: a new release is seen at once. */
  etag: string;
}

/**
 * To be sent with `/` as content-security-policy: nothing from anywhere else, no inline script or style, and no text that
 * becomes markup.
 */
export const DASHBOARD_CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const PAGE = '#lorakeet/service/dashboard/page/index.html';

/** All files of the page, read once. Throws ERR_FILE_ACCESS where it was not built. */
export function dashboardAssets(): DashboardAsset[] {
  const folder = dirname(pagePath());
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => extname(name) in CONTENT_TYPES)
    .sort()
    .map((name) => {
      const body = readFileSync(join(folder, name));
      return {
        path: name === 'index.html' ? '/' : `/dashboard/${name}`,
        contentType: CONTENT_TYPES[extname(name)],
        body,
        etag: `"${createHash('sha256').update(body).digest('hex').slice(0, 32)}"`,
      };
    });
}

function pagePath(): string {
  try {
    // by the package's own name for its build: the same file for the source and for what was made of it
    return createRequire(import.meta.url).resolve(PAGE);
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', 'the dashboard was not built: run `npm run build`', { cause });
  }
}
