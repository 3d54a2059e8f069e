/** The npm packages of bench/peers: installed when they are first asked for, never by the package's own set-up. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** null once they are there, in the versions that bench/peers/package.json names; otherwise the reason. */
export function installJsPeers(folder: string, say: (what: string) => void): string | null {
  if (areInstalled(folder)) return null;
  const args = ['install', '--ignore-scripts', '--omit=optional', '--no-save', '--no-audit', '--no-fund'];
  say(`installing the npm peers into bench/peers/node_modules (npm ${args.join(' ')}: no script of theirs runs)`);
  // npm's own JavaScript file whenever npm started us, so that no shell is needed
  const cli = process.env.npm_execpath;
  const [command, first] = cli?.endsWith('.js') ? [process.execPath, [cli]] : ['npm', []];
  const { error, status, stderr } = spawnSync(command, [...first, ...args], { cwd: folder, encoding: 'utf8' });
  if (error) return `npm cannot be run: ${error.message}`;
  if (status !== 0) return `npm install failed: ${/^npm (?:error|ERR!) (?!code)(.+)$/m.exec(stderr)?.[1] ?? status}`;
  return areInstalled(folder) ? null : 'npm install ended well, but the packages are not there';
}

export function areInstalled(folder: string): boolean {
  const read = (...path: string[]) => JSON.parse(readFileSync(join(folder, ...path, 'package.json'), 'utf8'));
  const wanted: Record<string, string> = read().dependencies;
  try {
    return Object.entries(wanted).every(([name, version]) => read('node_modules', name).version === version);
  } catch {
    return false;
  }
}
