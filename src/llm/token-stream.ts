/** Text of tokens that come one by one, and where to stop in it. */
import { fail } from '../checks.js';

/** Tokens in front of the new ones that are decoded with them: what a token means depends on those just before it only. */
const CONTEXT = 6;
const REPLACEMENT = '\ufffd';

/**
 * Tokens are pieces of bytes: a character can lie in several of them, and some tokenizers drop the first space of a text.
 * So each piece of text is what more tokens add to the text of those before them, once it ends with a whole character.
 */
export class TokenStream {
  readonly #decode: (tokens: readonly number[]) => string;
  /** What has been given out ends with the first `#given` of them. */
  #tokens: number[];
  #given: number;

  /** Use TextTokenizer.stream. */
  constructor(decode: (tokens: readonly number[]) => string, context: ArrayLike<number> = []) {
    this.#decode = decode;
    this.#tokens = Array.from(context).slice(-CONTEXT);
    this.#given = this.#tokens.length;
  }

  /** The text that the token completes; '' while a character lacks bytes. */
  push(token: number): string {
    this.#tokens.push(token);
    return this.#take(false);
  }

  /** The text still held back: characters that were never completed, as U+FFFD. */
  end(): string {
    return this.#take(true);
  }

  #take(all: boolean): string {
    const before = this.#decode(this.#tokens.slice(0, this.#given));
    const text = this.#decode(this.#tokens);
    if (!all && text.endsWith(REPLACEMENT)) return '';
    this.#tokens = this.#tokens.slice(Math.max(0, this.#given - CONTEXT));
    this.#given = this.#tokens.length;
    return text.slice(before.length);
  }
}

/** Looks for stop strings in text that comes in pieces, and holds back what may be the beginning of one. */
export class StopFinder {
  readonly #stops: readonly string[];
  #held = '';
  #stopped = false;

  /** Throws ERR_INVALID_CONFIG for a stop that is not a string of at least one character. */
  constructor(stops: readonly string[]) {
    for (const stop of stops) {
      if (typeof stop !== 'string' || stop === '')
        fail('ERR_INVALID_CONFIG', 'stop', stop, 'a string that is not empty');
    }
    this.#stops = stops;
  }

  /** True once a stop string has come; no more text is given out then. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** What of the text so far can be given out: all in front of the first stop string, or of what may become one. */
  push(text: string): string {
    if (this.#stopped) return '';
    const whole = this.#held + text;
    const found = this.#stops.map((stop) => whole.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#stopped = true;
      this.#held = '';
      return whole.slice(0, Math.min(...found));
    }
    const end = whole.length - this.#beginning(whole);
    this.#held = whole.slice(end);
    return whole.slice(0, end);
  }

  /** The text held back, when no more comes. */
  end(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }

  /** Characters at the end of the text that begin a stop string. */
  #beginning(text: string): number {
    const longest = Math.min(text.length, Math.max(0, ...this.#stops.map((stop) => stop.length - 1)));
    for (let length = longest; length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some((stop) => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
