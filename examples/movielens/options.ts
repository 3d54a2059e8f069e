/** The flags of the job. */
import { parseArgs } from 'node:util';
import { UserError } from './user-error.js';

const BACKENDS = ['auto', 'cuda', 'cpu', 'js'] as const;

export interface JobOptions {
  backend: (typeof BACKENDS)[number];
  seed: number;
  /** The first so many replayed users; undefined: all. */
  users?: number;
  /** Folder with ratings.csv; undefined: the data that comes with the repository. */
  data?: string;
  /** Folder for the store and the report. */
  store: string;
  reset: boolean;
  /** File to write the figures to. */
  json?: string;
  help: boolean;
}

export const HELP = `Replays real people's movie ratings in time order; every person's adapter predicts each rating, then learns from it.

npm run movielens -- [flags]

  --backend NAME   js, cpu, cuda, or auto: the fastest that works here (default auto)
  --seed N         which 30 % of the users are replayed (default 0)
  --users N        replay only the first N of them
  --data FOLDER    folder with ratings.csv (default: MovieLens, which comes with the repository)
  --store FOLDER   where progress, adapters and the report are kept (default .lorakeet)
  --reset          start this run anew instead of resuming or showing it
  --json FILE      also write the figures as JSON
  --help           show this
`;

/** Throws a UserError for an unknown flag or a bad value. */
export function parseOptions(args: readonly string[]): JobOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  let values: Record<string, string | boolean | undefined>;
  try {
    const options = {
      backend: text,
      seed: text,
      users: text,
      data: text,
      store: text,
      reset: flag,
      json: text,
      help: flag,
    };
    ({ values } = parseArgs({ args: [...args], options, allowPositionals: false }));
  } catch (error) {
    throw new UserError((error as Error).message);
  }
  const path = (name: string) => {
    if (values[name] === '') throw new UserError(`--${name}: got an empty name, expected a path`);
    return values[name] as string | undefined;
  };
  const integer = (name: string, min: number, max: number) => {
    const value = values[name];
    if (value === undefined) return undefined;
    const number = Number(value);
    if (!/^\d+$/.test(value as string) || number < min || number > max) {
      throw new UserError(`--${name}: got ${JSON.stringify(value)}, expected a whole number from ${min} to ${max}`);
    }
    return number;
  };
  const backend = (values.backend ?? 'auto') as JobOptions['backend'];
  if (!BACKENDS.includes(backend)) {
    throw new UserError(`--backend: got ${JSON.stringify(backend)}, expected one of ${BACKENDS.join(', ')}`);
  }
  return {
    backend,
    seed: integer('seed', 0, 2 ** 32 - 1) ?? 0,
    users: integer('users', 1, 2 ** 31 - 1),
    data: path('data'),
    store: path('store') ?? '.lorakeet',
    reset: values.reset === true,
    json: path('json'),
    help: values.help === true,
  };
}
