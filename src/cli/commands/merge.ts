/** merge: many adapters into one, from PEFT folders and from versions. */
import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { CONFIG_FILE, WEIGHTS_FILE } from '../../adapter/formats/peft-reader.js';
import { encodePeft, writePeft } from '../../adapter/formats/peft-writer.js';
import { LorakeetError } from '../../errors.js';
import { PEFT_COMBINATION_TYPES } from '../../merge/index.js';
import { MAJORITY_SIGNS, type MergeResult, SPACES } from '../../merge/types.js';
import type { ServiceConfig } from '../../service/config/keys.js';
import { addConfigOptions, type ConfigOptions, loadLocalConfig } from '../local-config.js';
import { mergeBy, STRATEGIES, type StrategyOptions } from '../merge-strategies.js';
import type { Act } from '../program.js';
import { integer, number, numberList } from '../values.js';
import { type NamedAdapter, readFolder, readVersion, withVersions } from '../versions.js';

interface MergeOptions extends ConfigOptions, StrategyOptions {
  strategy: string;
  output?: string;
  publish?: boolean;
}

export function addMergeCommand(program: Command, act: Act): void {
  const command = program
    .command('merge <adapter...>')
    .description('adapters into one: PEFT folders, and versions or aliases of the configured store')
    .addOption(new Option('--strategy <name>', 'how').choices(Object.keys(STRATEGIES)).default('average'))
    .option('--output <folder>', 'PEFT folder to write')
    .option('--publish', 'as a new version of the configured store; it is not approved and not active')
    .option('--weights <numbers>', 'one for each adapter: 0.7,0.3', numberList)
    .option(
      '--rank <number>',
      'of the result (default: as many as it needs; for sparse merges, the largest)',
      integer(1, 65_536),
    )
    .option('--density <number>', 'share of the entries that is kept', number({ above: 0, max: 1 }))
    .addOption(new Option('--space <space>', 'where entries are compared (default delta)').choices(SPACES))
    .addOption(new Option('--majority-sign <how>', 'who elects a sign (default total)').choices(MAJORITY_SIGNS))
    .option('--lambda <number>', 'the result is multiplied with it', number({ min: -1e6, max: 1e6 }))
    .option('--seed <number>', 'of random masks', integer(0, 2 ** 32 - 1))
    .option('--keep <number>', 'singular triplets that each adapter brings to tsv', integer(1, 65_536))
    .addOption(new Option('--combination-type <type>', 'of --strategy peft').choices(PEFT_COMBINATION_TYPES));
  addConfigOptions(command).action(
    act<MergeOptions>(async (context, options, names) => {
      const { strategy, output, publish, config: _, set: __, ...rest } = options;
      if ((output === undefined) === (publish === undefined)) {
        throw new LorakeetError('ERR_INVALID_ARGUMENT', 'merge: expected either --output or --publish');
      }
      const { weights, rank, density, space, majoritySign, lambda, seed, keep, combinationType } = rest;
      const given = { weights, rank, density, space, majoritySign, lambda, seed, keep, combinationType };
      const folders = await Promise.all(names.map(isFolder));
      const needsStore = publish || folders.includes(false);
      const config = needsStore ? (await loadLocalConfig(context, options)).config : undefined;
      const adapters = await readAll(config, names, folders);
      const merged = mergeBy(
        strategy,
        adapters.map(({ modules }) => modules),
        given,
      );
      const version = publish
        ? await publishMerged(config as ServiceConfig, adapters, merged, strategy, given)
        : undefined;
      if (output !== undefined)
        await writePeft(output, merged.modules, { taskType: 'CAUSAL_LM', baseModel: baseOf(adapters) });
      const ranks = [...merged.modules.values()].map((module) => module.rank);
      const result = {
        version,
        output,
        strategy,
        adapters: adapters.map(({ name }) => name),
        residual: merged.residual,
      };
      context.print({ ...result, modules: ranks.length, rank: Math.max(...ranks) }, () => [
        `${version ?? output}: ${strategy} of ${result.adapters.join(', ')}, rank ${Math.max(...ranks)}`,
        `left out: ${(100 * merged.residual).toFixed(2)} % of the merge`,
      ]);
    }),
  );
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

async function readAll(
  config: ServiceConfig | undefined,
  names: readonly string[],
  folders: readonly boolean[],
): Promise<NamedAdapter[]> {
  const read = async (version: (name: string) => Promise<NamedAdapter>) => {
    const adapters: NamedAdapter[] = [];
    for (const [i, name] of names.entries()) adapters.push(await (folders[i] ? readFolder(name) : version(name)));
    return adapters;
  };
  const noStore = () => Promise.reject(new LorakeetError('ERR_INVALID_STATE', 'no store is open'));
  return config ? withVersions(config, (versions) => read((name) => readVersion(versions, name))) : read(noStore);
}

const baseOf = (adapters: readonly NamedAdapter[]) => adapters.map(({ settings }) => settings.baseModel).find(Boolean);

/** With all that training goes on from, which needs the base model. */
async function publishMerged(
  config: ServiceConfig,
  adapters: readonly NamedAdapter[],
  { modules, residual }: MergeResult,
  strategy: string,
  options: StrategyOptions,
): Promise<string> {
  const { folder, name, ...settings } = config.model;
  if (folder === undefined) {
    throw new LorakeetError('ERR_INVALID_CONFIG', '--publish: expected model.folder, the base model of the adapters');
  }
  const { encodeLanguageAdapter, loadBaseModel } = await import('../../llm/index.js');
  const model = await loadBaseModel(folder, settings);
  try {
    const adapter = await model.importAdapter(modules);
    const bytes = encodeLanguageAdapter(await adapter.state());
    adapter.close();
    const baseModel = { name: name ?? baseOf(adapters) ?? folder, sha256: model.hash };
    const peft = encodePeft(modules, { baseModel: baseModel.name, taskType: 'CAUSAL_LM' });
    const manifest = await withVersions(config, (versions) =>
      versions.publish({
        files: { 'adapter.bin': bytes, [CONFIG_FILE]: peft.config, [WEIGHTS_FILE]: peft.weights },
        parents: adapters.flatMap(({ version }) => version ?? []),
        training: {
          merge: {
            strategy,
            ...JSON.parse(JSON.stringify(options)),
            adapters: adapters.map((one) => one.name),
            residual,
          },
        },
        baseModel,
        reason: `merged by ${strategy}`,
      }),
    );
    return manifest.version;
  } finally {
    model.close();
  }
}
