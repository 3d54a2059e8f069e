/** A PostgreSQL server of our own for tests, from Debian's packages: a temporary folder, a free port, a password. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePorts } from './ports.js';

const PASSWORD = 'not to be told';
const START_TIMEOUT_MS = 30_000;

/** Of the server's processes; none: ours. */
type Identity = { uid: number; gid: number } | Record<string, never>;

/** Where initdb and postgres are, or undefined. */
function findBinaries(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...versions.map((name) => join(debian, name, 'bin'))];
  return folders.find((folder) => ['initdb', 'postgres'].every((command) => existsSync(join(folder, command))));
}

/** Why it cannot be started here, or null. */
export function postgresIsMissing(): string | null {
  if (findBinaries() === undefined)
    return 'no initdb and postgres on PATH or in /usr/lib/postgresql (Debian: postgresql)';
  if (process.getuid?.() === 0 && !unprivilegedUser()) return 'it refuses to run as root, and there is no other user';
  return null;
}

/** PostgreSQL refuses to run as root. */
function unprivilegedUser(): Identity | undefined {
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  const line = ['postgres', 'nobody'].map((name) => lines.find((one) => one.startsWith(`${name}:`))).find(Boolean);
  const [, , uid, gid] = line?.split(':') ?? [];
  return line === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

export class PostgresServer {
  readonly #binaries: string;
  readonly #folder: string;
  readonly #identity: Identity;
  #process: ChildProcess | undefined;
  readonly port: number;
  readonly password = PASSWORD;

  private constructor(binaries: string, folder: string, identity: Identity, port: number) {
    this.#binaries = binaries;
    this.#folder = folder;
    this.#identity = identity;
    this.port = port;
  }

  /** Of a database of that name, made by createDatabase(). */
  url(database = 'postgres'): string {
    return `postgres://lorakeet:${encodeURIComponent(PASSWORD)}@127.0.0.1:${this.port}/${database}`;
  }

  static async start(): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'lorakeet-postgres-'));
    const identity: Identity = process.getuid?.() === 0 ? (unprivilegedUser() ?? {}) : {};
    if ('uid' in identity) chownSync(folder, identity.uid, identity.gid);
    const [port] = await freePorts(1);
    const server = new PostgresServer(findBinaries() as string, folder, identity, port);
    try {
      server.#initialize();
      await server.restart();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Starts it after kill(), which takes as long as it takes to recover. */
  async restart(): Promise<void> {
    const end = Date.now() + START_TIMEOUT_MS;
    // processes of the one before may still hold its memory, and then it does not start
    while (!(await this.#startOnce())) {
      if (Date.now() > end) throw new Error(`PostgreSQL did not start: ${this.#log()}`);
      await delay(50);
    }
  }

  /** kill -9 of all its processes, or only of those that serve connections, after which it starts them anew by itself. */
  async kill(what: 'all' | 'backends'): Promise<void> {
    const main = this.#process as ChildProcess;
    const children = readFileSync(`/proc/${main.pid}/task/${main.pid}/children`, 'utf8').split(' ').filter(Boolean);
    const backends = children.filter((pid) => commandOf(pid).includes('postgres: lorakeet'));
    const ended = new Promise((done) => main.once('exit', done));
    if (what === 'all') main.kill('SIGKILL');
    for (const pid of what === 'all' ? children : backends) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // has ended meanwhile
      }
    }
    if (what === 'all') await ended;
  }

  async stop(): Promise<void> {
    if (this.#process?.exitCode === null && this.#process.signalCode === null) {
      const ended = new Promise((done) => this.#process?.once('exit', done));
      // disconnects everybody
      this.#process.kill('SIGINT');
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #initialize(): void {
    const passwordFile = join(this.#folder, 'password');
    writeFileSync(passwordFile, PASSWORD, { mode: 0o644 });
    const args = [
      '--pgdata',
      this.#data,
      '--username',
      'lorakeet',
      '--auth',
      'scram-sha-256',
      '--pwfile',
      passwordFile,
    ];
    const { status, stderr } = spawnSync(
      join(this.#binaries, 'initdb'),
      [...args, '--encoding', 'UTF8', '--locale', 'C', '--no-sync'],
      { ...this.#identity, cwd: this.#folder, encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`initdb failed: ${stderr}`);
  }

  /** Whether it has come up. */
  async #startOnce(): Promise<boolean> {
    const settings = [
      `listen_addresses=127.0.0.1`,
      `port=${this.port}`,
      `unix_socket_directories=${this.#folder}`,
      'max_connections=200',
      'shared_buffers=32MB',
      // processes are killed here, not the machine
      'fsync=off',
      'logging_collector=off',
    ].flatMap((setting) => ['-c', setting]);
    this.#process = spawn(join(this.#binaries, 'postgres'), ['-D', this.#data, ...settings], {
      ...this.#identity,
      cwd: this.#folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process.stderr?.on('data', (data) => {
      this.#lines.push(String(data));
      if (this.#lines.length > 50) this.#lines.shift();
    });
    let ended = false;
    const end = new Promise<void>((done) => {
      this.#process?.once('exit', () => {
        ended = true;
        done();
      });
    });
    while (!ended && !this.#isReady()) await Promise.race([end, delay(20)]);
    return !ended;
  }

  /** Its lock file says so. */
  #isReady(): boolean {
    const file = join(this.#data, 'postmaster.pid');
    if (!existsSync(file)) return false;
    const [pid, , , , , , , status = ''] = readFileSync(file, 'utf8').split('\n');
    return Number(pid) === this.#process?.pid && status.trim() === 'ready';
  }

  readonly #lines: string[] = [];
  #log(): string {
    return this.#lines.join('');
  }

  get #data(): string {
    return join(this.#folder, 'data');
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
