/** The stores that the configuration names, each opened and asked. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ServiceConfig } from '../../service/config/keys.js';
import { counted } from '../text.js';
import { type Check, probe } from './check.js';

/**
 * Servers are asked for real; the tables of Postgres are made where they are missing, as the service does. Of a folder that
 * does not exist yet, only whether it can be made.
 */
export async function checkStores(config: ServiceConfig): Promise<Check[]> {
  const { openFeedbackStore, openJobQueue, openVersionStore } = await import('../../service/stores.js');
  const { storage, feedback, jobs, lora } = config;
  const feedbackFolder = feedback.file === undefined ? storage.folder : dirname(feedback.file);
  const feedbackRows = async () => {
    const store = await openFeedbackStore(config);
    const { total } = await store.count({}).finally(() => store.close());
    return counted(total, 'row');
  };
  const versions = async () => {
    const store = await openVersionStore(config);
    const head = await Promise.resolve(store.getHead(lora.project)).finally(() => store.close());
    return head ? `the adapter ${lora.project} is there` : `no versions of ${lora.project} yet`;
  };
  const jobCounts = async () => {
    const queue = await openJobQueue(config);
    const counts = await queue.counts().finally(() => queue.close());
    const some = Object.entries(counts).filter(([, count]) => count > 0);
    return some.length === 0 ? 'no jobs' : some.map(([state, count]) => `${count} ${state}`).join(', ');
  };
  return Promise.all([
    checkStore(`feedback (${feedback.kind})`, feedback.kind === 'sqlite' ? feedbackFolder : undefined, feedbackRows),
    checkStore(`versions (${storage.kind})`, storage.kind === 'folder' ? storage.folder : undefined, versions),
    checkStore(`jobs (${jobs.queue})`, jobs.queue === 'embedded' ? storage.folder : undefined, jobCounts),
  ]);
}

function checkStore(name: string, folder: string | undefined, open: () => Promise<string>): Promise<Check> {
  return probe(name, async () => {
    if (folder === undefined || (await exists(folder))) return open();
    await access(await existingParent(resolve(folder)), constants.W_OK);
    return `${folder} will be made`;
  });
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

async function existingParent(path: string): Promise<string> {
  const parent = dirname(path);
  return parent === path || (await exists(parent)) ? parent : existingParent(parent);
}
