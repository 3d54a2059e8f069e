/** export: a version out of the configured store, for other tools. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { FLOAT_DTYPES, type FloatDtype } from '../../adapter/formats/dtypes.js';
import { GGUF_DTYPES, type GgufDtype } from '../../adapter/formats/gguf.js';
import { type GgufBaseModel, writeGgufLora } from '../../adapter/formats/gguf-lora.js';
import { writePeft } from '../../adapter/formats/peft-writer.js';
import { LorakeetError } from '../../errors.js';
import { addConfigOptions, type ConfigOptions, loadLocalConfig } from '../local-config.js';
import type { Act } from '../program.js';
import { readVersion, withVersions } from '../versions.js';

interface ExportOptions extends ConfigOptions {
  output: string;
  format: 'peft' | 'gguf';
  dtype?: FloatDtype | GgufDtype;
  model?: string;
}

export function addExportCommand(program: Command, act: Act): void {
  const command = program
    .command('export <version>')
    .description('a version or an alias of the configured store as a PEFT folder, or as a GGUF file for llama.cpp')
    .requiredOption('--output <path>', 'the folder, or the file')
    .addOption(new Option('--format <format>', 'what it becomes').choices(['peft', 'gguf']).default('peft'))
    .addOption(
      new Option('--dtype <dtype>', 'of the numbers (default F32)').choices([
        ...new Set([...FLOAT_DTYPES, ...Object.keys(GGUF_DTYPES)]),
      ]),
    )
    .option('--model <folder>', 'of the base model, whose config.json GGUF needs (default: model.folder)');
  addConfigOptions(command).action(
    act<ExportOptions>(async (context, options, [name]) => {
      const { output, format, dtype, model } = options;
      const { config } = await loadLocalConfig(context, options, { 'model.folder': model });
      const { version, modules, settings } = await withVersions(config, (versions) => readVersion(versions, name));
      if (format === 'peft') {
        await writePeft(output, modules, { ...settings, dtype: dtype as FloatDtype | undefined });
      } else {
        const base = await readBaseModel(config.model.folder);
        await writeGgufLora(output, modules, base, {
          dtype: dtype as GgufDtype | undefined,
          name: `${config.lora.project} ${version}`,
        });
      }
      context.print({ version, format, output }, () => [`${version} is in ${output} (${format})`]);
    }),
  );
}

async function readBaseModel(folder: string | undefined): Promise<GgufBaseModel> {
  if (folder === undefined) {
    throw new LorakeetError('ERR_INVALID_ARGUMENT', '--model: expected the folder of the base model, which GGUF needs');
  }
  const file = join(folder, 'config.json');
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${file}: cannot be read (${cause})`, { cause });
  }
}
