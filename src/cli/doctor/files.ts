/** What the configuration names on disk: the base model, the golden set, the folders of requests. */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServiceConfig } from '../../service/config/keys.js';
import { type Check, probe } from './check.js';

export async function checkFiles({ model, golden, service }: ServiceConfig): Promise<Check[]> {
  return [
    await checkModel(model.folder),
    ...(await checkGoldenSet(golden)),
    ...(await Promise.all(
      service.allowedFolders.map((folder) =>
        probe(`folder ${folder}`, async () => {
          await access(folder);
          return 'can be read';
        }),
      ),
    )),
  ];
}

async function checkModel(folder: string | undefined): Promise<Check> {
  if (folder === undefined) {
    return {
      name: 'model',
      status: 'note',
      detail: 'none is configured',
      advice: 'set model.folder (BASE_MODEL_PATH)',
    };
  }
  const { openModelFolder } = await import('../../llm/model-folder.js');
  return probe('model', async () => {
    const model = await openModelFolder(folder);
    try {
      await access(join(folder, 'tokenizer.json'));
      return `${folder}: ${model.parameterCount} parameters`;
    } finally {
      await model.close();
    }
  });
}

async function checkGoldenSet({ enabled, required, suite }: ServiceConfig['golden']): Promise<Check[]> {
  if (!enabled) return [];
  if (suite === undefined) {
    const detail = required ? 'none is configured: no version can be approved' : 'none is configured';
    return [{ name: 'golden set', status: 'note', detail, advice: 'set golden.suite (GOLDEN_SUITE_PATH)' }];
  }
  const { readGoldenSuite } = await import('../../service/golden/suite.js');
  return [await probe('golden set', async () => `${suite}: ${(await readGoldenSuite(suite)).cases.length} cases`)];
}
