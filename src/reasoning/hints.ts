/** From a bank's advice to settings for one update: structured hints, or what the recommendation's text says. */
import type { AdaptationHints, LearnedStrategy } from './contract.js';

/** What the engine is configured with; advice is held within a tenth and ten times of it. */
export interface ConfiguredSettings {
  learningRate: number;
  clipThreshold: number;
  ewcLambda: number;
}

interface Setting {
  hint: keyof AdaptationHints;
  configured: keyof ConfiguredSettings;
  /** How texts call it; replaced by `token` before anything else is read. */
  names: RegExp;
  token: string;
  accepts(value: number): boolean;
  /** A text's numbers only: what says more may mean something else. */
  acceptsInText?(value: number): boolean;
}

const SETTINGS: readonly Setting[] = [
  {
    hint: 'suggestedLearningRate',
    configured: 'learningRate',
    names: /learning[\s_-]{0,2}rate|\blr\b/gi,
    token: '<rate>',
    accepts: (value) => value > 0,
    acceptsInText: (value) => value > 0 && value < 1,
  },
  {
    hint: 'suggestedClipThreshold',
    configured: 'clipThreshold',
    names: /(?:gradient[\s_-]?)?clip(?:ping)?(?:[\s_-]?(?:threshold|norm|value))?|max[\s_-]?grad(?:ient)?[\s_-]?norm/gi,
    token: '<clip>',
    accepts: (value) => value > 0,
  },
  {
    hint: 'suggestedEwcLambda',
    configured: 'ewcLambda',
    names: /\bewc(?:\+\+)?(?:[\s_-]?(?:lambda|λ|regularization|penalty|strength|weight)){0,2}|\blambda\b|λ/gi,
    token: '<ewc>',
    accepts: (value) => value >= 0,
  },
];

const NUMBER = String.raw`[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?`;
/** So that "2" is not read out of "20%", nor 3 out of "3x". */
const NUMBER_ENDS = String.raw`(?![\d.]*\d|\s*(?:%|[x×]\b|times\b))`;
const LESS = 'reduc|lower|decreas|halv|shrink|small';
const MORE = 'increas|rais|higher|doubl|larger|grow|strengthen';
/** Words that may stand between "reduce" and what is to be reduced, among them other settings. */
const BETWEEN = String.raw`(?:(?:the|your|its|a|an|base|current|initial|overall|both|and|<\w+>)[\s,]+)*`;

/** Factors of advice without a number. */
const LESS_FACTOR = 0.5;
const MORE_FACTOR = 1.5;

/** Advice further from the configured value than this factor is held at it. */
const RANGE = 10;

/** Far beyond a sentence or two; keeps the cost of a bank's odd answer small. */
const MAX_TEXT = 4000;

/** "learning rate: 0.0008", "learning_rate 5e-4", "clipping to 1.5", "lambda from 0.5 to 0.8" */
const numberPattern = (token: string) =>
  new RegExp(
    String.raw`${token}\s*(?:from\s+${NUMBER}\s+)?(?:[:=]|(?:to|of|at|is)\b)?\s*(${NUMBER})${NUMBER_ENDS}`,
    'gi',
  );

/** "reduce the learning rate", "a higher clip threshold", "increase learning rate by 20%", "… by a factor of 2" */
const verbPattern = (token: string) =>
  new RegExp(
    String.raw`\b(?:(${LESS})|(?:${MORE}))\w*\s+${BETWEEN}${token}` +
      String.raw`(?:\s+by\s+(?:(a\s+factor\s+of)\s+)?(${NUMBER})\s*(%|[x×]|times)?)?`,
    'gi',
  );

const READERS = SETTINGS.map((setting) => ({
  ...setting,
  number: numberPattern(setting.token),
  verb: verbPattern(setting.token),
}));
type Reader = (typeof READERS)[number];

/**
 * The settings that a recommendation's text asks for, each held within ×0.1 … ×10 of the configured one. A number wins
 * over a verb, wherever it stands; a verb alone means half or one and a half times the configured value, "by 20%" and "by
 * a factor of 2" what they say. Numbers that the setting cannot have, and advice against something, are passed over.
 */
export function parseHints(recommendation: string, configured: ConfiguredSettings): AdaptationHints {
  let text = recommendation.slice(0, MAX_TEXT).replace(/[<>]/g, ' ');
  for (const { names, token } of SETTINGS) text = text.replace(names, token);
  const found: AdaptationHints = {};
  for (const reader of READERS) {
    const value = numberIn(text, reader) ?? verbIn(text, reader, configured[reader.configured]);
    if (value !== undefined) found[reader.hint] = value;
  }
  return boundHints(found, configured);
}

/** The hints of a strategy: its structured ones and, for settings that they leave out, those of its text. */
export function hintsOf({ hints, recommendation }: LearnedStrategy, configured: ConfiguredSettings): AdaptationHints {
  const parsed = typeof recommendation === 'string' ? parseHints(recommendation, configured) : {};
  return { ...parsed, ...boundHints(hints ?? {}, configured) };
}

/** Only what is a number that the setting can have, held within ×0.1 … ×10 of the configured one. */
function boundHints(hints: AdaptationHints, configured: ConfiguredSettings): AdaptationHints {
  const bounded: AdaptationHints = {};
  for (const { hint, configured: field, accepts } of SETTINGS) {
    const [value, base] = [hints[hint], configured[field]];
    // a setting that is switched off has no range around it
    if (typeof value !== 'number' || !Number.isFinite(value) || !accepts(value) || base === 0) continue;
    bounded[hint] = Math.min(base * RANGE, Math.max(base / RANGE, value));
  }
  return bounded;
}

function numberIn(text: string, { number, accepts, acceptsInText = accepts }: Reader): number | undefined {
  for (const match of text.matchAll(number)) {
    const value = Number(match[1]);
    if (acceptsInText(value) && !isAdvisedAgainst(text, match.index)) return value;
  }
  return undefined;
}

function verbIn(text: string, { verb }: Reader, base: number): number | undefined {
  for (const match of text.matchAll(verb)) {
    if (isAdvisedAgainst(text, match.index)) continue;
    const [, less, factorWords, amount, unit] = match;
    const factor = factorOf(Number(amount), unit ?? (factorWords && 'times'), less !== undefined);
    // never 0, which would not be a value that the setting can have
    return base * Math.max(1 / RANGE, factor ?? (less ? LESS_FACTOR : MORE_FACTOR));
  }
  return undefined;
}

function factorOf(amount: number, unit: string | undefined, less: boolean): number | undefined {
  if (unit === undefined || !(amount > 0)) return undefined;
  if (unit === '%') return less ? 1 - amount / 100 : 1 + amount / 100;
  return less ? 1 / amount : amount;
}

/** "do not reduce …", "avoid a learning rate of …": a negation in the same clause, before `index`. */
function isAdvisedAgainst(text: string, index: number): boolean {
  const clause =
    text
      .slice(0, index)
      .split(/[;,\n]|\.\s/)
      .at(-1) ?? '';
  return /(?:\b(?:not|never|avoid|without|instead of)\b|n't\b)/i.test(clause);
}
