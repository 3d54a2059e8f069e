/** Everything that the service needs, looked at on this machine. */
import { readFileSync } from 'node:fs';
import type { Context } from '../context.js';
import { type ConfigOptions, loadLocalConfig } from '../local-config.js';
import { checkBackends } from './backends.js';
import { type Check, probe } from './check.js';
import { checkFiles } from './files.js';
import { checkPackages } from './packages.js';
import { checkService, checkServing } from './servers.js';
import { checkStores } from './stores.js';

/** What is wrong with the configuration itself is a check, too. A configuration of defaults alone asks for no package. */
export async function examine(context: Context, options: ConfigOptions): Promise<Check[]> {
  const loading = loadLocalConfig(context, options);
  const loaded = await loading.catch(() => undefined);
  const set = [...(loaded?.sources.values() ?? [])].filter((source) => source !== 'default').length;
  const config = loaded?.config;
  return [
    checkNode(),
    await probe('configuration', () => loading.then(() => (set === 0 ? 'defaults' : `${set} keys are set`))),
    ...(await checkBackends(config?.model.backend ?? 'auto')),
    ...(config ? await checkStores(config) : []),
    ...(config ? await checkFiles(config) : []),
    ...(config ? await checkServing(context, config) : []),
    await checkService(context),
    ...checkPackages(set > 0 ? config : undefined),
  ];
}

function checkNode(): Check {
  const { engines } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
  const wanted = (engines.node as string).replace('>=', '');
  const [least, is] = [wanted, process.versions.node].map((version) => version.split('.').map(Number));
  const isEnough = is[0] > least[0] || (is[0] === least[0] && is[1] >= least[1]);
  const detail = `${process.versions.node} on ${process.platform}-${process.arch}`;
  return { name: 'Node', status: isEnough ? 'ok' : 'missing', detail, advice: `Node ${wanted} or later` };
}
