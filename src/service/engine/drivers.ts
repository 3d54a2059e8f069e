/** The serving drivers that a configuration asks for. */
import { join } from 'node:path';
import type { GgufBaseModel } from '../../adapter/formats/gguf-lora.js';
import { parseStrictJson } from '../../adapter/formats/strict-json.js';
import { readSmallFile } from '../../files/random-access.js';
import { MAX_MODEL_CONFIG_BYTES } from '../../llm/model-config.js';
import type { Logger } from '../../logger.js';
import { ControlPlaneDriver } from '../../serving/control-plane-driver.js';
import type { ServingDriver } from '../../serving/driver.js';
import { LlamaCppDriver } from '../../serving/llama-cpp-driver.js';
import { MultiLoraDriver } from '../../serving/multi-lora-driver.js';
import type { ServiceConfig } from '../config/keys.js';
import { makeFolder } from '../stores.js';
import { runRestartCommand } from './restart-command.js';

const SERVING_FOLDER = 'serving';

/**
 * One for each of serving.urls; none for in-process, which needs the model. The folder that versions are written to is made
 * when missing. Rejects with ERR_FILE_ACCESS, and ERR_FORMAT_CORRUPT for a config.json that is none.
 */
export async function makeRemoteDrivers(config: ServiceConfig, logger: Logger): Promise<ServingDriver[]> {
  const { serving, storage, lora, model } = config;
  const { driver, urls, serverFolder, maxRank, restartCommand, reloadPath, statePath, disablePath } = serving;
  if (driver === 'in-process') return [];
  const folder = serving.folder ?? join(storage.folder, SERVING_FOLDER);
  await makeFolder(folder);
  const common = {
    folder,
    ...(serverFolder !== undefined && { serverFolder }),
    ...(serving.token && { token: serving.token.reveal() }),
    timeoutMs: serving.timeoutSeconds * 1000,
  };
  switch (driver) {
    case 'llama.cpp': {
      const baseModel = await readBaseModel(model.folder as string);
      return urls.map((url) => {
        const restart =
          restartCommand === undefined ? undefined : (files: string[]) => runRestartCommand(restartCommand, url, files);
        return new LlamaCppDriver({ ...common, url, baseModel, ...(restart && { restart }) });
      });
    }
    case 'control-plane':
      return urls.map((url) => {
        const paths = { reloadPath, statePath, ...(disablePath !== undefined && { disablePath }) };
        return new ControlPlaneDriver({ ...common, url, adapter: lora.project, ...paths });
      });
    default:
      return urls.map((url) => {
        const limit = maxRank === undefined ? {} : { maxRank };
        return new MultiLoraDriver({ ...common, ...limit, url, dialect: driver, logger });
      });
  }
}

/** The configuration of the model that llama.cpp serves; the driver reads what it needs of it. */
async function readBaseModel(folder: string): Promise<GgufBaseModel> {
  const bytes = await readSmallFile(join(folder, 'config.json'), MAX_MODEL_CONFIG_BYTES);
  return parseStrictJson(join(folder, 'config.json'), bytes).value as GgufBaseModel;
}
