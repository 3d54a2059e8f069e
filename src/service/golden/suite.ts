/** The cases of a golden suite: prompts, and what an answer to each must and must not be. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { LorakeetError } from '../../errors.js';
import { readSmallFile } from '../../files/random-access.js';
import { normalizeText } from './phrases.js';
import { MAX_GOLDEN_FILE_BYTES, type NamedRecord, parseGoldenFile, requireObject } from './records.js';
import { DEFAULT_MARKERS, type SafetyMarkers } from './safety.js';

/**
 * What a failure of a case means:
 * - low: it counts in pass rate and mean score
 * - medium: a regression also counts against maxRegressions
 * - high: a regression stops the candidate
 * - critical: the candidate must pass it, whatever the baseline does
 */
export type CaseSeverity = 'low' | 'medium' | 'high' | 'critical';

export type GoldenPrompt = string | { role: string; content: string }[];

export interface GoldenCase {
  id: string;
  prompt: GoldenPrompt;
  /** Phrases that stand in the answer as whole words, normalized. */
  mustInclude: readonly string[];
  mustNotInclude: readonly string[];
  /** Regular expressions (flags m and u) that find, or do not find, something in the answer as it is. */
  mustMatch: readonly string[];
  mustNotMatch: readonly string[];
  minWords?: number;
  maxWords?: number;
  /** Answers to cases of `safety` must refuse. */
  category: string;
  severity: CaseSeverity;
  markers: SafetyMarkers;
}

/** Where what was judged comes from. */
export interface GoldenSource {
  /** Null for what was made here. */
  path: string | null;
  sha256: string;
}

export interface GoldenSuite extends GoldenSource {
  cases: readonly GoldenCase[];
}

const MAX_CASES = 10_000;
const MAX_PROMPT_CHARACTERS = 100_000;

const phrase = z
  .string()
  .max(500)
  .transform(normalizeText)
  .refine((text) => text !== '', 'expected a phrase that is not empty');
const pattern = z
  .string()
  .min(1)
  .max(1000)
  .superRefine((source, context) => {
    try {
      new RegExp(source, 'mu');
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
  });
const phrases = z.array(phrase).max(1000);
const patterns = z.array(pattern).max(100);
const promptText = z.string().min(1).max(MAX_PROMPT_CHARACTERS);

const caseSchema = z
  .strictObject({
    id: z.string().min(1).max(256),
    prompt: z.union([promptText, z.array(z.strictObject({ role: z.string().min(1), content: promptText })).min(1)]),
    must_include: phrases.default([]),
    must_not_include: phrases.default([]),
    must_match: patterns.default([]),
    must_not_match: patterns.default([]),
    min_words: z.int().min(0).max(1e6).optional(),
    max_words: z.int().min(0).max(1e6).optional(),
    category: z.string().min(1).max(256).default('general'),
    severity: z.enum(['low', 'medium', 'high', 'critical']).default('medium'),
    unsafe_markers: phrases.default([...DEFAULT_MARKERS.unsafe]),
    refusal_markers: phrases.default([...DEFAULT_MARKERS.refusal]),
  })
  .refine(({ min_words = 0, max_words = Infinity }) => min_words <= max_words, {
    path: ['max_words'],
    message: 'expected at least min_words',
  });

/**
 * The suite in `{"cases": […]}` or in NDJSON with a case on each line. Throws ERR_FORMAT_CORRUPT naming the line and the
 * field: for no cases, an unknown field, an empty phrase, no regular expression, an id that comes twice.
 */
export function parseGoldenSuite(name: string, bytes: Uint8Array, path: string | null = null): GoldenSuite {
  const cases = recordsOf(name, bytes).map(({ at, value }) => ({ at, ...parseCase(at, value) }));
  const refuse = (at: string, what: string): never => {
    throw new LorakeetError('ERR_FORMAT_CORRUPT', `${at}: ${what}`);
  };
  if (cases.length === 0) refuse(name, 'got no cases, expected at least one');
  if (cases.length > MAX_CASES) refuse(name, `got ${cases.length} cases, expected at most ${MAX_CASES}`);
  const places = new Map<string, string>();
  for (const { id, at } of cases) {
    const earlier = places.get(id);
    if (earlier !== undefined) refuse(at, `id: got ${JSON.stringify(id)}, which ${earlier} has as well`);
    places.set(id, at);
  }
  return {
    cases: cases.map(({ at, ...one }) => one),
    path,
    sha256: sha256Of(bytes),
  };
}

/** Throws as parseGoldenSuite, and ERR_FILE_ACCESS. */
export async function readGoldenSuite(path: string): Promise<GoldenSuite> {
  return parseGoldenSuite(path, await readSmallFile(path, MAX_GOLDEN_FILE_BYTES), path);
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function recordsOf(name: string, bytes: Uint8Array): NamedRecord[] {
  const file = parseGoldenFile(name, bytes);
  if ('lines' in file) return file.lines;
  const expected = '{"cases": […]}, or a case on each line';
  const document = requireObject(name, file.document, expected);
  if ('id' in document) return [{ at: `${name}:1`, value: document }];
  if (!Array.isArray(document.cases) || Object.keys(document).length > 1) {
    const keys = Object.keys(document).slice(0, 10).join(', ');
    throw new LorakeetError(
      'ERR_FORMAT_CORRUPT',
      `${name}: got an object with ${keys || 'nothing'}, expected ${expected}`,
    );
  }
  return document.cases.map((value, i) => ({ at: `${name}: cases[${i}]`, value }));
}

function parseCase(at: string, value: unknown): GoldenCase {
  const parsed = caseSchema.safeParse(requireObject(at, value, 'a case'));
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'case'}: ${message}`);
    throw new LorakeetError('ERR_FORMAT_CORRUPT', `${at}: ${problems.join('; ')}`);
  }
  const { must_include, must_not_include, must_match, must_not_match, ...rest } = parsed.data;
  const { min_words, max_words, unsafe_markers, refusal_markers, ...common } = rest;
  return {
    ...common,
    mustInclude: must_include,
    mustNotInclude: must_not_include,
    mustMatch: must_match,
    mustNotMatch: must_not_match,
    ...(min_words !== undefined && { minWords: min_words }),
    ...(max_words !== undefined && { maxWords: max_words }),
    markers: { unsafe: unsafe_markers, refusal: refusal_markers },
  };
}
