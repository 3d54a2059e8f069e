/** Who calls, and what they may do. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { isLoopback } from '../config/forms.js';
import type { Scope, ServiceToken } from '../config/kinds.js';
import { HttpProblem } from './problems.js';

export interface KnownCaller {
  name: string;
  scope: Scope;
}

const ANYBODY: KnownCaller = { name: 'local', scope: 'operate' };

/** Without tokens everybody who reaches the service may do everything; see requireOwnSite. */
export class CallerList {
  readonly #known: readonly { digest: Buffer; caller: KnownCaller }[];

  constructor(tokens: readonly ServiceToken[]) {
    this.#known = tokens.map(({ name, token, scope }) => ({
      digest: digestOf(token.reveal()),
      caller: { name, scope },
    }));
  }

  get isOpen(): boolean {
    return this.#known.length === 0;
  }

  /** By the header Authorization. Takes as long whichever token it is, or none. */
  find(authorization: string | undefined): KnownCaller | undefined {
    if (this.isOpen) return ANYBODY;
    const [, token] = /^bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '') ?? [];
    if (token === undefined) return undefined;
    const digest = digestOf(token);
    let found: KnownCaller | undefined;
    for (const known of this.#known) if (timingSafeEqual(known.digest, digest)) found = known.caller;
    return found;
  }
}

/** Digests are of one length, and a difference in them says nothing of the token. */
const digestOf = (token: string) => createHash('sha256').update(token).digest();

/** Throws ERR_UNAUTHORIZED, ERR_FORBIDDEN. */
export function requireScope(caller: KnownCaller | undefined, scope: Scope): void {
  if (!caller) {
    const headers = { 'www-authenticate': 'Bearer realm="lorakeet"' };
    throw new HttpProblem('ERR_UNAUTHORIZED', 'expected the header Authorization: Bearer <token>', { headers });
  }
  if (scope === 'operate' && caller.scope === 'read') {
    throw new HttpProblem('ERR_FORBIDDEN', `the token ${caller.name} has the scope read, expected operate`);
  }
}

/**
 * A service without tokens trusts whoever is on its machine; a browser there also runs pages of strangers. Their names may be
 * made to lead to 127.0.0.1 (DNS rebinding): the header Host shows it. And they may post blindly: Origin shows that. Throws
 * ERR_FORBIDDEN.
 */
export function requireOwnSite(headers: { host?: string; origin?: string }): void {
  const { host = '', origin } = headers;
  if (!isLoopback(nameOf(host))) {
    throw new HttpProblem('ERR_FORBIDDEN', 'Host: expected a loopback address, as the service has no tokens');
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new HttpProblem('ERR_FORBIDDEN', 'Origin: expected no other site, as the service has no tokens');
  }
}

/** Without port and brackets. */
function nameOf(host: string): string {
  const [, bracketed, plain] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?$/.exec(host) ?? [];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? bracketed : '';
  return plain ?? '';
}
