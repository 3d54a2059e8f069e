/** Takes the secrets of a configuration out of texts that others made: messages of servers, addresses in errors. */
import { REDACTED, Secret } from '../config/secret.js';

/** A function that replaces every secret in `config`, whether as it is, in an address or in JSON, by `[redacted]`. */
export function redactorOf(config: object): (text: string) => string {
  const forms = [...new Set(secretsIn(config).flatMap(formsOf))].sort((a, b) => b.length - a.length);
  if (forms.length === 0) return (text) => text;
  const pattern = new RegExp(forms.map(escaped).join('|'), 'g');
  return (text) => text.replace(pattern, REDACTED);
}

function secretsIn(value: unknown): string[] {
  if (value instanceof Secret) return [value.reveal()];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(secretsIn) : [];
}

/** The password of an address is a secret by itself: clients take it out and use it alone. */
function formsOf(secret: string): string[] {
  const texts = [secret];
  const password = URL.canParse(secret) ? new URL(secret).password : '';
  if (password !== '') texts.push(password, decoded(password));
  return texts.flatMap((text) => [text, encodeURIComponent(text), JSON.stringify(text).slice(1, -1)]);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
}
