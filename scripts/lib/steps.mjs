/** Set-up steps that run only when what they were made from has changed: content hashes kept as stamps in .setup/. */
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, scratch } from './process.mjs';

/** A hash over the names and contents of files and folders (relative to the root), and over any further strings. */
export function hashOf(paths, ...extra) {
  const hash = createHash('sha256');
  for (const path of paths) addPath(hash, path);
  for (const text of extra) hash.update(`\0${text}`);
  return hash.digest('hex');
}

function addPath(hash, path) {
  const full = join(root, path);
  if (!existsSync(full)) {
    hash.update(`${path}\0absent\0`);
    return;
  }
  const entries = readEntries(full);
  if (entries === null) {
    hash.update(`${path}\0`).update(readFileSync(full)).update('\0');
    return;
  }
  for (const name of entries) addPath(hash, `${path}/${name}`);
}

function readEntries(full) {
  try {
    return readdirSync(full).sort();
  } catch {
    return null; // a file
  }
}

/** What the last run of a step recorded: `{ hash, ok }`, or null. */
export function readStamp(name) {
  try {
    return JSON.parse(readFileSync(join(scratch, `${name}.stamp.json`), 'utf8'));
  } catch {
    return null;
  }
}

export function writeStamp(name, hash, ok = true) {
  mkdirSync(scratch, { recursive: true });
  writeFileSync(join(scratch, `${name}.stamp.json`), JSON.stringify({ hash, ok }));
}

/**
 * Runs `work` while no other set-up runs in this tree. The lock file holds the owner's process id; a lock whose owner is
 * gone is taken over.
 */
export function withLock(work) {
  mkdirSync(scratch, { recursive: true });
  const lock = join(scratch, 'lock');
  let told = false;
  for (;;) {
    if (claim(lock)) break;
    if (!ownerIsAlive(lock)) {
      rmSync(lock, { force: true });
      continue;
    }
    if (!told) console.log('setup: waiting for another set-up in this folder to finish');
    told = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Creates the lock file with our process id in it, in one step, unless it is there already. */
function claim(lock) {
  const mine = `${lock}.${process.pid}`;
  writeFileSync(mine, String(process.pid));
  try {
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return false;
  } finally {
    rmSync(mine);
  }
}

function ownerIsAlive(lock) {
  try {
    process.kill(Number(readFileSync(lock, 'utf8')), 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
