/** Texts that must not be seen: passwords, keys, tokens. */
import { inspect } from 'node:util';

export const REDACTED = '[redacted]';

/** Whatever renders one (JSON, a template, a log, the console) gets `[redacted]`; only reveal() has the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
