// Coverage-guided fuzzing of the readers: adapter files, snapshots, safetensors, PEFT folders, and the documents of a version
// store. Mutates files that are fine
// and keeps every mutant that reaches a block of code, or a number of times through it, that none reached before (V8's own
// block coverage, through node:inspector). Each input has to end in a coded error, or in something that is written and read
// again as the same, and must not make a reader allocate more than a few times its size; anything else ends the process with
// a non-zero status and leaves the input in .setup/.
//
// A loop of our own, because jazzer.js does not load here: its binaries want a newer C library than Debian 12 has.
//
//   node test/adapter/formats/fuzz.mjs [--seconds 60] [--seed 1]
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { parseArgs } from 'node:util';
import {
  decodeAdapter,
  decodePeft,
  decodeSnapshot,
  encodeAdapter,
  encodePeft,
  encodeSafetensors,
  encodeSnapshot,
  openSafetensors,
} from '../../../dist/formats.js';
import { decodeChange, encodeChange } from '../../../dist/versions/change.js';
import { decodeHead, encodeHead } from '../../../dist/versions/head.js';
import { decodeManifest, encodeManifest } from '../../../dist/versions/manifest.js';

const { values: options } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});

let state = Number(options.seed) >>> 0;
function next() {
  // mulberry32
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
  return (t ^ (t >>> 14)) >>> 0;
}
const below = (n) => next() % n;
const pick = (list) => list[below(list.length)];

// ---- what is fuzzed: an input is a list of parts, so that lengths and checksums can be made to fit again

const golden = JSON.parse(readFileSync(new URL('./golden/formats.json', import.meta.url), 'utf8'));
const ownGolden = JSON.parse(readFileSync(new URL('../golden/golden.json', import.meta.url), 'utf8'));
const fromBase64 = (text) => Buffer.from(text, 'base64');

function partsOfSafetensors(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  return [bytes.subarray(8, 8 + length), bytes.subarray(8 + length)];
}

function joinSafetensors(header, data) {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, data]);
}

function seal(content) {
  return Buffer.concat([content, createHash('sha256').update(content).digest()]);
}

const unsealed = (bytes) => [bytes.subarray(0, bytes.length - 32)];
const isEqual = (a, b) => Buffer.compare(a, b) === 0;

async function contentOf(file) {
  const tensors = new Map();
  for (const [name, { dtype, shape }] of file.tensors) tensors.set(name, { dtype, shape, data: await file.read(name) });
  return tensors;
}

const [HASH, at] = ['ab'.repeat(32), '2026-01-01T00:00:00.000Z'];
const manifest = {
  ...{ adapter: 'team/feed', version: 'v1.1', createdAt: at, author: 'somebody', libraryVersion: '0.1.0' },
  ...{ files: { 'adapter.bin': { sha256: HASH, sizeBytes: 7 } }, baseModel: { name: 'base', sha256: HASH } },
  ...{
    parents: [{ adapter: 'team/feed', version: 'v1.0', manifest: HASH }],
    training: { seed: 1 },
    metrics: { loss: 0.5 },
  },
};
const entry = { manifest: HASH, createdAt: at, approved: true, quarantined: false };
const head = {
  ...{ adapter: 'team/feed', sequence: 3, change: HASH, disabled: false, highest: 'v1.1' },
  versions: new Map([
    ['v1.0', entry],
    ['v1.1', { ...entry, approved: false }],
  ]),
  aliases: new Map([['active', 'v1.0']]),
};
const change = {
  ...{
    id: 'an-id',
    adapter: 'team/feed',
    sequence: 2,
    at,
    operation: 'activate',
    actor: null,
    reason: 'why',
    version: 'v1.0',
  },
  ...{ override: true, aliases: [{ alias: 'active', from: null, to: 'v1.0' }], quarantined: ['v1.1'], deleted: [] },
  ...{ evidence: { passed: 4 }, previous: HASH },
};

/** A document; its fields may stand in any order, and are written in one. */
const documentOf = (bytes, encode, decode) => ({
  seeds: [[Buffer.from(bytes)]],
  assemble: ([content]) => content,
  run(content) {
    const again = encode(decode(content));
    if (!isEqual(encode(decode(again)), again)) throw new Error('changed');
  },
});

const targets = {
  head: documentOf(encodeHead(head), encodeHead, (bytes) => decodeHead(bytes, 'team/feed')),
  manifest: documentOf(encodeManifest(manifest), encodeManifest, (bytes) => decodeManifest(bytes, 'team/feed', 'v1.1')),
  change: documentOf(encodeChange(change), encodeChange, (bytes) => decodeChange(bytes, 'team/feed', 2)),
  safetensors: {
    seeds: [golden.everyDtype.file, golden.adapters.plain.weights].map((text) => partsOfSafetensors(fromBase64(text))),
    assemble: ([header, data]) => joinSafetensors(header, data),
    async run(bytes) {
      const file = await openSafetensors(bytes);
      const content = await contentOf(file);
      const headerBytes = 8 + Number(bytes.readBigUInt64LE(0));
      const total = [...content.values()].reduce((sum, { data }) => sum + data.byteLength, headerBytes);
      if (total !== bytes.length) throw new Error(`${total} bytes of tensors and header in a file of ${bytes.length}`);
      const again = encodeSafetensors(content);
      if (!isEqual(encodeSafetensors(await contentOf(await openSafetensors(again))), again)) throw new Error('changed');
    },
  },
  peft: {
    seeds: Object.values(golden.adapters).map(({ config, weights }) => [
      fromBase64(config),
      ...partsOfSafetensors(fromBase64(weights)),
    ]),
    assemble: ([config, header, data]) => ({ config, weights: joinSafetensors(header, data) }),
    async run(files) {
      const exact = { allowDora: true };
      const { modules, magnitudes, settings } = await decodePeft(files, exact);
      const write = (adapter) => encodePeft(adapter, { ...settings, portable: false, magnitudes });
      const again = write(modules);
      if (!isEqual(write((await decodePeft(again, exact)).modules).weights, again.weights)) throw new Error('changed');
    },
  },
  adapter: {
    seeds: [ownGolden.plain, ownGolden.full].map((hex) => unsealed(Buffer.from(hex, 'hex'))),
    assemble: ([content]) => seal(content),
    run(bytes) {
      if (!isEqual(encodeAdapter(decodeAdapter(bytes)), bytes)) throw new Error('changed');
    },
  },
  snapshot: {
    seeds: [ownGolden.snapshot, ownGolden.emptySnapshot].map((hex) => unsealed(Buffer.from(hex, 'hex'))),
    assemble: ([content]) => seal(content),
    run(bytes) {
      if (!isEqual(encodeSnapshot(decodeSnapshot(bytes)), bytes)) throw new Error('changed');
    },
  },
};

/** What a reader may answer to a file, and a writer to what it was made of. */
const CODES = [
  'ERR_FORMAT_CORRUPT',
  'ERR_FORMAT_UNSUPPORTED',
  'ERR_ADAPTER_CORRUPT',
  'ERR_ADAPTER_VERSION',
  'ERR_STORE_FAILURE',
  // A scaling that overflows when a pattern gives it, found when the modules are written again.
  'ERR_NOT_FINITE',
];

// ---- mutation

const TOKENS = [
  ...['{', '}', '[', ']', ',', ':', '"', '\\u0000', '\\ud800', '[]', '{}', 'null', 'true', '""', '-', 'e9', '0', '1'],
  ...[
    '"dtype"',
    '"shape"',
    '"data_offsets"',
    '"__metadata__"',
    '"__proto__"',
    '"F32"',
    '"BF16"',
    '"F8_E4M3"',
    '"BOOL"',
  ],
  ...[
    '4294967296',
    '9007199254740993',
    '18446744073709551616',
    '1e999',
    '"rank_pattern"',
    '"alpha_pattern"',
    '(a|b)+$',
  ],
  ...['"v1.0"', '"active"', '"../x"', '"2026-01-01T00:00:00.000Z"', 'false', 'ab'.repeat(32)],
  ...['lora_A', 'lora_magnitude_vector', '"use_dora"', '"use_rslora"', 'base_model.model.', '.*', '\ufeff', '\0'],
];
const NUMBERS = [0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];

function mutate(part, other) {
  const at = below(part.length + 1);
  const splice = (start, deleted, inserted) =>
    Buffer.concat([part.subarray(0, start), inserted, part.subarray(Math.min(part.length, start + deleted))]);
  switch (below(9)) {
    case 0:
      return splice(at, 1, Buffer.of(below(256)));
    case 1:
      return part.length ? splice(at, 1, Buffer.of((part[at] ?? 0) ^ (1 << below(8)))) : part;
    case 2:
      return splice(at, below(16), Buffer.alloc(0));
    case 3:
      return splice(at, below(2) ? 0 : below(12), Buffer.from(pick(TOKENS)));
    case 4: {
      const start = below(part.length + 1);
      return splice(at, 0, part.subarray(start, start + below(64)));
    }
    case 5: {
      const start = below(other.length + 1);
      return splice(at, below(64), other.subarray(start, start + below(64)));
    }
    case 6: {
      // a number written in digits
      const found = [...part.toString('latin1').matchAll(/\d+/g)];
      if (found.length === 0) return part;
      const { index, 0: digits } = pick(found);
      const value = below(2) ? pick(NUMBERS) : Number(digits) + below(5) - 2;
      return splice(index, digits.length, Buffer.from(String(value)));
    }
    case 7: {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(below(2) ? pick(NUMBERS) : below(64));
      return splice(at & ~3, 4, bytes);
    }
    default:
      return part.subarray(0, at);
  }
}

function mutant(target) {
  const parts = [...pick(target.corpus)];
  for (let changes = 1 + below(2) * below(4); changes > 0; changes--) {
    const i = below(parts.length);
    parts[i] = mutate(parts[i], pick(target.corpus)[i]);
  }
  return parts;
}

// ---- coverage

const session = new Session();
session.connect();
/** Answers at once: the inspector's calls of the own thread are synchronous. */
function ask(method, parameters) {
  let answer;
  session.post(method, parameters, (error, result) => {
    if (error) throw new Error(`${method}: ${error.message}`);
    answer = result;
  });
  return answer;
}

const seen = new Set();
const OURS = new URL('../../../dist/', import.meta.url).href;

/** How many blocks, or powers of two of times through them, are new since the last call that none has seen. */
function newCoverage() {
  let found = 0;
  for (const { url, functions } of ask('Profiler.takePreciseCoverage').result) {
    if (!url.startsWith(OURS)) continue;
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) {
        if (count === 0) continue;
        const key = `${url}:${startOffset}:${endOffset}:${32 - Math.clz32(count)}`;
        if (seen.has(key)) continue;
        seen.add(key);
        found++;
      }
    }
  }
  return found;
}

// ---- the loop

async function attempt(name, parts) {
  const { assemble, run } = targets[name];
  const input = assemble(parts);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const before = process.memoryUsage().arrayBuffers;
  let accepted = true;
  try {
    await run(input);
  } catch (error) {
    if (!CODES.includes(error.code)) report(name, parts, error);
    accepted = false;
  }
  const growth = process.memoryUsage().arrayBuffers - before;
  if (growth > 64 * size + 2 ** 20) report(name, parts, new Error(`allocated ${growth} bytes for ${size}`));
  return accepted;
}

function report(name, parts, error) {
  const folder = new URL('../../../.setup/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  const file = new URL(
    `fuzz-${name}-${createHash('sha256').update(Buffer.concat(parts)).digest('hex').slice(0, 12)}.json`,
    folder,
  );
  writeFileSync(file, JSON.stringify(parts.map((part) => part.toString('base64'))));
  console.error(`${name}: seed ${options.seed}, input in ${file.pathname}:`, error);
  process.exit(1);
}

ask('Profiler.enable');
ask('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
for (const target of Object.values(targets)) Object.assign(target, { corpus: [], runs: 0, accepted: 0 });
for (const [name, target] of Object.entries(targets)) {
  for (const seed of target.seeds) {
    await attempt(name, seed);
    newCoverage();
    target.corpus.push(seed);
  }
}
const seeded = seen.size;
const end = performance.now() + 1000 * Number(options.seconds);
while (performance.now() < end) {
  for (const [name, target] of Object.entries(targets)) {
    const parts = mutant(target);
    if (parts.some((part) => part.length > 2 ** 16)) continue;
    if (await attempt(name, parts)) target.accepted++;
    target.runs++;
    if (newCoverage() > 0) target.corpus.push(parts);
  }
}
for (const [name, { runs, accepted, corpus, seeds }] of Object.entries(targets)) {
  console.log(`${name}: ${runs} inputs, ${accepted} of them accepted, ${corpus.length - seeds.length} kept`);
}
console.log(`coverage: ${seeded} → ${seen.size}`);
if (seen.size <= seeded) {
  console.error('no mutant reached anything new: the coverage is not being read');
  process.exitCode = 1;
}
