/**
 * Who may import whom: each part of src (a folder, or a file at the top) and the parts it may use. The one place that
 * states it; ARCHITECTURE.md explains it, import-layers.test.ts enforces it. A new part needs a row here.
 */
const base = ['errors', 'checks', 'logger', 'files'];
const core = [...base, 'kernels', 'adapter'];
const onAdapters = ['merge', 'continual', 'versions'];
const learners = ['personalization', 'llm'];

export const LAYERS: Record<string, readonly string[]> = {
  errors: [],
  checks: ['errors'],
  logger: [],
  files: ['errors', 'checks'],
  kernels: base,
  adapter: [...base, 'kernels'],
  merge: core,
  continual: core,
  versions: core,
  sqlite: base,
  vectors: base,
  reasoning: [...base, 'sqlite', 'vectors'],
  personalization: [...core, ...onAdapters, 'reasoning'],
  llm: [...core, ...onAdapters],
  stores: [...base, 'sqlite', 'vectors', 'versions', 'learning'],
  serving: [...core, 'versions', 'llm'],
  learning: [...core, ...onAdapters, ...learners],
  service: [...core, 'sqlite', ...onAdapters, ...learners, 'learning', 'stores', 'serving', 'reasoning'],
  cli: [...core, ...onAdapters, ...learners, 'learning', 'stores', 'serving', 'reasoning', 'service'],
  testing: [...core, 'versions', 'vectors', 'reasoning', 'serving', 'learning', 'service'],
  formats: [...core, 'personalization'],
  index: [...core, ...onAdapters, ...learners, 'reasoning'],
};

/** The files that implement a backend: only those that choose name them; the conformance suite breaks the reference on purpose. */
export const BACKEND_FILES = [
  'kernels/js.ts',
  'kernels/dense-js.ts',
  'kernels/native.ts',
  'llm/decoder/js/model.ts',
  'llm/decoder/native/model.ts',
];
export const MAY_NAME_A_BACKEND = [
  'kernels/select.ts',
  'kernels/dense.ts',
  'kernels/aligned-rows.ts',
  'llm/decoder/',
  'testing/',
];
