/** Routes of versions: which there are, and which is served. */
import type { LoraResult } from '../engine/operations.js';
import { adapterDetails, adapterList, deployed, loraResult, loraStatus } from './answers.js';
import type { ProblemCode } from './problems.js';
import { deployRequest, loraRequest, loraVersionRequest, quarantineRequest, versionPath } from './requests.js';
import { route } from './route.js';

const ACTIVATION: readonly ProblemCode[] = [
  ...(['ERR_VERSION_NOT_FOUND', 'ERR_VERSION_UNAPPROVED', 'ERR_VERSION_QUARANTINED', 'ERR_VERSION_CONFLICT'] as const),
  ...(['ERR_SERVING_REFUSED', 'ERR_SERVING_MISMATCH', 'ERR_SERVING_UNAVAILABLE'] as const),
];
const BLOCKED = [...ACTIVATION, 'ERR_ADAPTER_DISABLED'] as const;

export const ADAPTER_ROUTES = [
  route({
    method: 'GET',
    url: '/adapters',
    summary: 'Versions, newest first',
    scope: 'read',
    answer: adapterList,
    run: async ({ service }) => {
      const adapters = await service.adapters();
      return { adapters, total: adapters.length };
    },
  }),
  route({
    method: 'GET',
    url: '/adapters/:version',
    summary: 'One version, with where it comes from',
    scope: 'read',
    path: versionPath,
    answer: adapterDetails,
    problems: ['ERR_VERSION_NOT_FOUND'],
    run: ({ service, path }) => service.adapter(path.version),
  }),
  route({
    method: 'POST',
    url: '/adapters/:version/deploy',
    summary: 'Make a version the one that is served',
    scope: 'operate',
    timeLimit: 'serving',
    path: versionPath,
    body: deployRequest,
    answer: deployed,
    problems: BLOCKED,
    run: async ({ service, path, body, caller }) => {
      // an override has a reason of its own, or is refused
      const reason = body.override ? undefined : 'manual_deploy';
      const request = { reason, ...body, adapterVersion: path.version };
      return deployOf(await service.activate(request, caller), path.version);
    },
  }),
  route({
    method: 'POST',
    url: '/adapters/:version/quarantine',
    summary: 'Keep a version from being served',
    scope: 'operate',
    timeLimit: 'serving',
    path: versionPath,
    body: quarantineRequest,
    answer: loraStatus,
    problems: ['ERR_VERSION_NOT_FOUND', 'ERR_VERSION_IN_USE'],
    run: ({ service, path, body, caller }) => service.quarantine({ adapterVersion: path.version, ...body }, caller),
  }),
  route({
    method: 'POST',
    url: '/adapters/:version/release',
    summary: 'Take a version out of quarantine; it is not approved then',
    scope: 'operate',
    timeLimit: 'serving',
    path: versionPath,
    body: quarantineRequest,
    answer: loraStatus,
    problems: ['ERR_VERSION_NOT_FOUND'],
    run: ({ service, path, body, caller }) => service.release({ adapterVersion: path.version, ...body }, caller),
  }),
  route({
    method: 'GET',
    url: '/lora/status',
    summary: 'What is active, and what is served where',
    scope: 'read',
    answer: loraStatus,
    run: ({ service }) => service.loraStatus(),
  }),
  route({
    method: 'POST',
    url: '/lora/activate',
    summary: 'As a deploy',
    scope: 'operate',
    timeLimit: 'serving',
    body: loraVersionRequest,
    answer: loraResult,
    problems: BLOCKED,
    run: ({ service, body, caller }) => service.activate(body, caller),
  }),
  route({
    method: 'POST',
    url: '/lora/disable',
    summary: 'The kill switch: from here on the base model answers',
    scope: 'operate',
    timeLimit: 'serving',
    body: loraRequest,
    answer: loraResult,
    problems: ['ERR_VERSION_CONFLICT'],
    run: ({ service, body, caller }) => service.disable(body, caller),
  }),
  route({
    method: 'POST',
    url: '/lora/enable',
    summary: 'Lift the kill switch by activating a version',
    scope: 'operate',
    timeLimit: 'serving',
    body: loraVersionRequest,
    answer: loraResult,
    problems: ACTIVATION,
    run: ({ service, body, caller }) => service.enable(body, caller),
  }),
  route({
    method: 'POST',
    url: '/lora/rollback',
    summary: 'Go back: to a version named, else to the known good one, else to the one before',
    scope: 'operate',
    timeLimit: 'serving',
    body: loraRequest,
    answer: loraResult,
    problems: [...BLOCKED, 'ERR_NO_ROLLBACK_TARGET'],
    run: ({ service, body, caller }) => service.rollback(body, caller),
  }),
  route({
    method: 'POST',
    url: '/lora/promote',
    summary: 'Call a version the known good one',
    scope: 'operate',
    timeLimit: 'serving',
    body: loraVersionRequest,
    answer: loraStatus,
    problems: BLOCKED,
    run: ({ service, body, caller }) => service.promote(body, caller),
  }),
];

function deployOf({ status, ...result }: LoraResult, asked: string) {
  const version = result.toVersion ?? asked;
  return { ...result, status: 'deployed', message: `${version} is served`, version, lora: status };
}
