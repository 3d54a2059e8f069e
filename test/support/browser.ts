/** A real browser for tests: Debian's chromium, without a window. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome'];

function executable(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return COMMANDS.flatMap((command) => folders.map((folder) => join(folder, command))).find(isExecutable);
}

/** Why there is none here, or null. */
export function browserIsMissing(): string | null {
  return executable() ? null : 'not on PATH: chromium (Debian: chromium)';
}

export function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  // its sandbox does not run as root, as CI does
  const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: executable(), args: [...sandbox, ...args] });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
