/** What computes here, and why nothing faster does. */
import { loadAddon } from '../../kernels/addon.js';
import type { BackendName } from '../../kernels/contract.js';
import { selectBackend } from '../../kernels/select.js';
import { selectDecoder } from '../../llm/decoder/select.js';
import { type Check, probe } from './check.js';

const ADDON_ADVICE =
  'prebuilt addons come with the package for Linux x64 and arm64; elsewhere they are built from its source';
const CUDA_ADVICE = 'it needs an NVIDIA GPU with its driver, and the CUDA module of the package';

/** `asked` is model.backend of the configuration: what the decoder is to compute with. */
export async function checkBackends(asked: BackendName | 'auto'): Promise<Check[]> {
  const advice = 'auto takes what there is';
  return [
    await probe('kernels', async () => chosen(selectBackend()), `LORAKEET_BACKEND: ${advice}`),
    await probe('decoder', async () => chosen(selectDecoder(asked)), `model.backend: ${advice}`),
    checkAddon(),
    checkCuda(asked),
  ];
}

function chosen({ backend, reason }: { backend: { name: string; device?: string }; reason: string }): string {
  return `${backend.name}${backend.device ? ` (${backend.device})` : ''}: ${reason}`;
}

function checkAddon(): Check {
  const { addon, file, reason } = loadAddon();
  if (!addon) return { name: 'native addon', status: 'note', detail: reason, advice: ADDON_ADVICE };
  const sets = addon.info(false).instructionSets.join(', ');
  return { name: 'native addon', status: 'ok', detail: `${file}; instruction sets of this processor: ${sets}` };
}

function checkCuda(asked: BackendName | 'auto'): Check {
  const { cudaDevice, cudaReason = 'there is no native addon' } = loadAddon().addon?.info(true) ?? {};
  if (cudaDevice) return { name: 'CUDA', status: 'ok', detail: cudaDevice };
  return { name: 'CUDA', status: asked === 'cuda' ? 'missing' : 'note', detail: cudaReason, advice: CUDA_ADVICE };
}
