/** The flags of `npm start`. */
import { parseArgs } from 'node:util';
import { UserError } from '../movielens/user-error.js';

export interface StartOptions {
  /** undefined: as the configuration has it. */
  port?: number;
  /** Of all that is kept. */
  folder: string;
  /** End when the service has answered. */
  once: boolean;
  help: boolean;
}

export const HELP = `Replays MovieLens (npm run movielens -- --help), then opens the learning engine service with a small language model.

npm start -- [flags]

  --port N         where the service listens (default 8003; 0: a free one)
  --folder FOLDER  where everything is kept (default .lorakeet)
  --once           end as soon as the service has answered
  --help           show this
`;

/** Throws a UserError for an unknown flag or a bad value. */
export function parseOptions(args: readonly string[]): StartOptions {
  const [text, flag] = [{ type: 'string' } as const, { type: 'boolean' } as const];
  let values: { port?: string; folder?: string; once?: boolean; help?: boolean };
  try {
    ({ values } = parseArgs({ args: [...args], options: { port: text, folder: text, once: flag, help: flag } }));
  } catch (error) {
    throw new UserError((error as Error).message);
  }
  const { port, folder = '.lorakeet', once = false, help = false } = values;
  if (port !== undefined && !(/^\d+$/.test(port) && Number(port) < 65_536)) {
    throw new UserError(`--port: got ${JSON.stringify(port)}, expected a whole number from 0 to 65535`);
  }
  if (folder === '') throw new UserError('--folder: got an empty name, expected a path');
  return { ...(port !== undefined && { port: Number(port) }), folder, once, help };
}
