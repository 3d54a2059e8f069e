/** Optional packages: which are installed, what they are for, and whether the configuration asks for them. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { ServiceConfig } from '../../service/config/keys.js';
import type { Check } from './check.js';

interface OptionalPackage {
  name: string;
  use: string;
  /** Whether what the configuration asks for does not work without it. */
  isNeeded(config: ServiceConfig): boolean;
}

const never = () => false;
const always = () => true;
const hasModel = ({ model }: ServiceConfig) => model.folder !== undefined;
const usesPostgres = ({ storage, feedback, jobs }: ServiceConfig) =>
  storage.kind === 'postgres' || feedback.kind === 'postgres' || jobs.queue === 'postgres';
const usesSqlite = ({ feedback, jobs }: ServiceConfig) => feedback.kind === 'sqlite' || jobs.queue === 'embedded';
const nodeHasSqlite = () => (process.getBuiltinModule as (id: string) => unknown)('node:sqlite') !== undefined;

/** Those of peerDependencies in package.json; a test compares. */
export const OPTIONAL_PACKAGES: readonly OptionalPackage[] = [
  { name: 'fastify', use: 'HTTP of the service', isNeeded: always },
  { name: '@fastify/rate-limit', use: 'HTTP of the service', isNeeded: always },
  { name: '@fastify/swagger', use: 'HTTP of the service', isNeeded: always },
  { name: '@fastify/swagger-ui', use: 'HTTP of the service', isNeeded: always },
  { name: 'croner', use: 'training at set times', isNeeded: ({ schedule }) => schedule.enabled },
  { name: 'pino', use: 'logs as JSON', isNeeded: ({ logging }) => logging.format === 'json' },
  { name: 'prom-client', use: 'metrics of the service', isNeeded: always },
  {
    name: '@photostructure/sqlite',
    use: 'SQLite, where Node has none of its own',
    isNeeded: (config) => usesSqlite(config) && !nodeHasSqlite(),
  },
  { name: '@huggingface/tokenizers', use: 'language models', isNeeded: hasModel },
  {
    name: '@huggingface/jinja',
    use: 'chat templates of language models',
    isNeeded: (config) => hasModel(config) && config.training.prompts === 'messages',
  },
  { name: 'pg', use: 'Postgres', isNeeded: usesPostgres },
  { name: '@aws-sdk/client-s3', use: 'S3', isNeeded: ({ storage }) => storage.kind === 's3' },
  { name: '@qdrant/js-client-rest', use: 'the Qdrant store of vectors', isNeeded: never },
  { name: 'agentdb', use: 'the ReasoningBank of agentdb', isNeeded: never },
  { name: 'cli-progress', use: 'progress bars of this program', isNeeded: never },
];

/** The version that a program of this package would load; undefined where there is none. */
export function installedVersion(name: string): string | undefined {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const file = folders.map((folder) => join(folder, name, 'package.json')).find((path) => existsSync(path));
  return file === undefined ? undefined : (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** Without a configuration nothing is asked for. */
export function checkPackages(config: ServiceConfig | undefined, find = installedVersion): Check[] {
  return OPTIONAL_PACKAGES.map(({ name, use, isNeeded }): Check => {
    const version = find(name);
    const what = `package ${name}`;
    if (version !== undefined) return { name: what, status: 'ok', detail: `${version}, for ${use}` };
    const status = config !== undefined && isNeeded(config) ? 'missing' : 'note';
    return { name: what, status, detail: `not installed, for ${use}`, advice: `npm install ${name}` };
  });
}
