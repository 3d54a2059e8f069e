/** Asks for a token when the service wants one. */
import { ApiError, read } from './api.js';
import { ask, type Field } from './dialog.js';
import { forgetToken, keepToken } from './session.js';
import type { Session } from './state.js';

const TOKEN: Field = {
  name: 'token',
  label: 'Token',
  kind: 'password',
  required: 'Enter a token: one of service.tokens.',
  hint: 'Kept in this tab until it is closed, and sent to this service only.',
};

let open = false;

/** Opens at most one dialog. `signedIn` is called when the service has accepted a token. */
export async function signIn(signedIn: () => void): Promise<void> {
  if (open) return;
  open = true;
  const text = ['This service answers only those who have a token.'];
  const accepted = await ask({ title: 'Sign in', text, fields: [TOKEN], confirm: 'Sign in' }, tryToken);
  open = false;
  if (accepted) signedIn();
}

async function tryToken({ token }: Readonly<Record<string, string>>): Promise<void> {
  // what cannot stand in a header is no token
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error('The service does not know this token.');
  keepToken(token);
  try {
    await read<Session>('session');
  } catch (error) {
    forgetToken();
    throw error instanceof ApiError && error.status === 401
      ? new Error('The service does not know this token.')
      : error;
  }
}
