/** What brings versions of adapters to a server of language models, whatever the server is. */
import { type LoraModules, requireLoraModules } from '../adapter/lora-module.js';
import { fail, rejectUnknownKeys } from '../checks.js';
import { requireVersionNumber } from '../versions/version-number.js';
import { requireHeadName } from '../versions/version-store.js';

/** The weights of a version, in one of three forms; which of them a driver takes is part of its description. */
export interface AdapterSource {
  /** A PEFT folder, as this process sees it. */
  folder?: string;
  /** LoRA modules by path, as readPeft and LanguageAdapter.modules give them. */
  modules?: LoraModules;
  /** The bytes of encodeLanguageAdapter. */
  bytes?: Uint8Array;
}

export interface DeployRequest extends AdapterSource {
  /** Of the adapter, such as team/adapter-1. */
  name: string;
  /** Such as v1.10. A version never changes: what is served under its number is not loaded again. */
  version: string;
  /** The model that the adapter was made for; a driver that knows its model refuses adapters of another. */
  baseModel?: { name: string; sha256: string };
}

export interface OperationOptions {
  /** Of the whole operation, with its waiting and its repetitions; default: that of the driver. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export interface DeployOptions extends OperationOptions {
  /**
   * Called when the deploy's turn has come, before the server is told anything; the deploy rejects as this does. What it
   * finds true holds until the server has been told: a disable() that comes later is carried out after the deploy.
   */
  confirm?: () => Promise<void>;
}

/** What a server really serves under a name, asked of the server. */
export interface ServingStatus {
  name: string;
  /** null: the base model, or something that no deploy has made. */
  version: string | null;
  /** Versions of the adapter that the server holds in memory, the one that it serves included. */
  loaded: string[];
  /** false: the server serves something else than one version or the base; deploy or disable puts it right. */
  settled: boolean;
}

/**
 * All methods reject, beside the codes that they name, with ERR_SERVING_UNAVAILABLE where the server cannot be reached or
 * does not answer in time, ERR_SERVING_REFUSED where it says no, ERR_SERVING_MISMATCH where it says yes and does something
 * else, ERR_ABORTED, and ERR_INVALID_ARGUMENT, ERR_PATH_NOT_ALLOWED and ERR_INVALID_CONFIG for their arguments. Each may be
 * repeated at any time: what is so already is left as it is. Operations of one driver follow each other.
 */
export interface ServingDriver {
  /** What it drives, with its address; for messages. */
  readonly target: string;
  /**
   * Serves this version under the name, in place of the one before, which is served until then and goes on if this fails.
   * To go back is to deploy the earlier version. Rejects with ERR_ABORTED if disable() is called meanwhile, and with
   * ERR_FORMAT_UNSUPPORTED for a form of the weights that the driver does not take.
   */
  deploy(request: DeployRequest, options?: DeployOptions): Promise<ServingStatus>;
  /** The base model answers from before this resolves. Deploys of the name that are under way come to nothing. */
  disable(name: string, options?: OperationOptions): Promise<ServingStatus>;
  status(name: string, options?: OperationOptions): Promise<ServingStatus>;
}

const FORMS = ['folder', 'modules', 'bytes'] as const;

/** Throws ERR_INVALID_ARGUMENT, ERR_INVALID_CONFIG, ERR_PATH_NOT_ALLOWED, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE. */
export function requireDeployRequest(request: DeployRequest): DeployRequest {
  if (typeof request !== 'object' || request === null) fail('ERR_INVALID_ARGUMENT', 'request', request, 'an object');
  rejectUnknownKeys('request', request, ['name', 'version', 'baseModel', ...FORMS]);
  requireHeadName(request.name);
  requireVersionNumber('request.version', request.version);
  const given = FORMS.filter((form) => request[form] !== undefined);
  if (given.length !== 1) fail('ERR_INVALID_ARGUMENT', 'request', given, `one of ${FORMS.join(', ')}`);
  const { folder, modules, bytes } = request;
  if (folder !== undefined && (typeof folder !== 'string' || folder === '')) {
    fail('ERR_INVALID_ARGUMENT', 'request.folder', folder, 'the path of a folder');
  }
  if (modules !== undefined) requireLoraModules('request.modules', modules);
  if (bytes !== undefined && !(bytes instanceof Uint8Array)) {
    fail('ERR_INVALID_ARGUMENT', 'request.bytes', bytes, 'a Uint8Array');
  }
  return request;
}
