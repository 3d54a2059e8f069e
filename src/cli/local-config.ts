/** The configuration of commands that work on the stores themselves, or are the service. */
import { type Command, InvalidArgumentError } from 'commander';
import { LorakeetError } from '../errors.js';
import type { LoadedConfig } from '../service/config/load.js';
import type { Context } from './context.js';

export interface ConfigOptions {
  config?: string;
  set?: Record<string, string>;
}

export function addConfigOptions(command: Command): Command {
  return command
    .option('--config <file>', 'configuration (YAML; default: the file that LORAKEET_CONFIG names)')
    .option(
      '--set <key=value...>',
      'a key of the configuration, as in its documentation: training.epochs=2',
      assignment,
    );
}

function assignment(text: string, before: Record<string, string> = {}): Record<string, string> {
  const [, key, value] = /^([\w.]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined) throw new InvalidArgumentError('expected key=value');
  return { ...before, [key]: value };
}

/** `overrides` are options with a name of their own; those of --set win. Rejects as loadConfig does. */
export async function loadLocalConfig(
  { surroundings: { env } }: Context,
  { config: file, set = {} }: ConfigOptions,
  overrides: Readonly<Record<string, unknown>> = {},
): Promise<LoadedConfig> {
  const { loadConfig } = await import('../service/config/load.js');
  const { ALL_KEYS } = await import('../service/config/keys.js');
  const parsed = Object.entries(set).map(([path, text]) => {
    const key = ALL_KEYS.find((one) => one.path === path);
    if (!key) throw new LorakeetError('ERR_INVALID_CONFIG', `--set ${path}: no such key`);
    return [path, key.parse(text)];
  });
  return loadConfig({ file, env, overrides: { ...overrides, ...Object.fromEntries(parsed) } });
}
