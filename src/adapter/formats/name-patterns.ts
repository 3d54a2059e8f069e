/**
 * rank_pattern and alpha_pattern of PEFT: regular expressions for the ends of module names. They come with the file, so
 * they may be made to run for ever: they run where V8 can stop them.
 */
import { runInNewContext } from 'node:vm';
import { LorakeetError } from '../../errors.js';

/** Far beyond what any real file takes (a thousand patterns on a thousand modules: a tenth of a second). */
const TIMEOUT_MS = 2000;

/**
 * Runs inside the context. PEFT's own rule: re.match(rf"(.*\.)?({key})$", name), the first key that matches wins. The
 * result travels as text, so that no object of the context reaches the caller.
 */
const PROGRAM = `
  const { names, patterns } = JSON.parse(input);
  const expressions = patterns.map((pattern) => new RegExp('^(.*\\\\.)?(' + pattern + ')$'));
  JSON.stringify(names.map((name) => expressions.findIndex((expression) => expression.test(name))))`;

/**
 * For each of `names` the value of the first pattern that matches it, or `otherwise`. Throws ERR_FORMAT_UNSUPPORTED for
 * an expression that JavaScript does not read or that takes longer than two seconds.
 */
export function matchNames(
  setting: string,
  names: readonly string[],
  patterns: ReadonlyMap<string, number>,
  otherwise: number,
): number[] {
  if (patterns.size === 0) return names.map(() => otherwise);
  const input = JSON.stringify({ names, patterns: [...patterns.keys()] });
  let matches: number[];
  try {
    matches = JSON.parse(runInNewContext(PROGRAM, { input }, { timeout: TIMEOUT_MS }));
  } catch (cause) {
    const message = `${setting}: its regular expressions cannot be used (${cause})`;
    throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', message, { cause });
  }
  const values = [...patterns.values()];
  return matches.map((index) => values[index] ?? otherwise);
}

/**
 * Patterns that give each of `names` its value, where it is not `otherwise`: the names themselves, as PEFT writes them,
 * or, where one of those would match another name too, anchored expressions that match nothing else.
 */
export function patternsFor(
  names: readonly string[],
  values: readonly number[],
  otherwise: number,
): Record<string, number> {
  const wanted = names.map((name, i) => [name, values[i]] as const).filter(([, value]) => value !== otherwise);
  const literal = wanted.every(([name]) => /^[\w.-]+$/.test(name));
  const matched = literal ? matchNames('patterns', names, new Map(wanted), otherwise) : [];
  const exact = names.every((_, i) => matched[i] === values[i]);
  return Object.fromEntries(exact ? wanted : wanted.map(([name, value]) => [`^${escapeName(name)}`, value]));
}

function escapeName(name: string): string {
  return name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
