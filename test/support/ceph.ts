/** A real S3 server for tests: Ceph's gateway, from Debian's packages, in a temporary folder. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePorts } from './ports.js';

export interface CephGateway {
  port: number;
  /** For @aws-sdk/client-s3. */
  client: { endpoint: string; region: string; credentials: { accessKeyId: string; secretAccessKey: string } };
  /** kill -9 of the gateway; the storage behind it, which is memory here, stays. */
  kill(): Promise<void>;
  /** Starts it after kill(). */
  restart(): Promise<void>;
  stop(): void;
}

const SCRIPT = fileURLToPath(new URL('./start-rgw.sh', import.meta.url));
const RESTART_TIMEOUT_MS = 30_000;
const COMMANDS = ['radosgw', 'ceph-mon', 'ceph-osd', 'ceph', 'curl', 'bash'];

/** Why it cannot be started here, or null. */
export function cephIsMissing(): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const absent = COMMANDS.filter((command) => !folders.some((folder) => isExecutable(join(folder, command))));
  return absent.length > 0 ? `not on PATH: ${absent.join(', ')} (Debian: radosgw ceph-mon ceph-osd ceph-common)` : null;
}

export async function startCephGateway(): Promise<CephGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-rgw-'));
  const [port, monitorPort] = await freePorts(2);
  const stop = () => {
    spawnSync(SCRIPT, [folder, 'stop']);
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  };
  const kill = async () =>
    void process.kill(Number(readFileSync(join(folder, 'run/client.rgw.a.pid'), 'utf8')), 'SIGKILL');
  const restart = () => startAgain(folder, port);
  const { status, stdout, stderr } = spawnSync(SCRIPT, [folder, String(port), String(monitorPort)], {
    encoding: 'utf8',
    timeout: 100_000,
  });
  if (status !== 0 || !stdout.includes('ready')) {
    stop();
    throw new Error(`the gateway did not start: ${stderr}`);
  }
  const credentials = { accessKeyId: 'lorakeet-test', secretAccessKey: 'lorakeet-test' };
  return {
    port,
    client: { endpoint: `http://127.0.0.1:${port}`, region: 'us-east-1', credentials },
    kill,
    restart,
    stop,
  };
}

async function startAgain(folder: string, port: number): Promise<void> {
  const env = { ...process.env, CEPH_CONF: join(folder, 'ceph.conf') };
  const end = Date.now() + RESTART_TIMEOUT_MS;
  for (let started = false; ; await delay(50)) {
    // it fails while the one that was killed still has the port
    started ||= spawnSync('radosgw', ['-n', 'client.rgw.a'], { env }).status === 0;
    const answer = started && (await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined));
    if (answer) return void (await answer.text());
    if (Date.now() > end) throw new Error('the gateway did not start again');
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
