/** What must hold between keys. */
import { isLoopback } from './forms.js';
import type { ServiceConfig } from './keys.js';

export interface Problem {
  path: string;
  expected: string;
}

/** `isSet` tells whether somebody gave the key a value. */
export function findContradictions(config: ServiceConfig, isSet: (path: string) => boolean): Problem[] {
  const { service, model, training, golden, storage, postgres, feedback, jobs, serving } = config;
  const found: Problem[] = [];
  const check = (ok: boolean, path: string, expected: string) => {
    if (!ok) found.push({ path, expected });
  };
  const { host, tokens } = service;
  const open = host !== undefined && !isLoopback(host);
  check(!open || tokens.length > 0, 'service.host', 'a loopback address as long as service.tokens is empty');
  check(
    golden.enabled || !(golden.required && isSet('golden.required')),
    'golden.enabled',
    'true with golden.required',
  );
  const { accessKey, secretKey } = storage.s3;
  check((accessKey === undefined) === (secretKey === undefined), 'storage.s3.secretKey', 'both keys of S3, or neither');

  const reachable = postgres.url !== undefined || postgres.host !== undefined;
  const users = { 'storage.kind': storage.kind, 'feedback.kind': feedback.kind, 'jobs.queue': jobs.queue };
  for (const [path, value] of Object.entries(users)) {
    check(
      value !== 'postgres' || reachable,
      path,
      'another value as long as neither postgres.url nor postgres.host is set',
    );
  }
  const single = ['host', 'port', 'database', 'user', 'password'].filter((name) => isSet(`postgres.${name}`));
  check(postgres.url === undefined || single.length === 0, 'postgres.url', 'either the URL or the single settings');

  const remote = serving.driver !== 'in-process';
  check(!remote || serving.urls.length > 0, 'serving.urls', `at least one URL for the driver ${serving.driver}`);
  check(
    serving.driver !== 'llama.cpp' || model.folder !== undefined,
    'model.folder',
    'the folder of the model that llama.cpp serves, whose config.json its adapters are written by',
  );
  check(training.deploy === 'never' || golden.enabled, 'training.deploy', 'never without golden.enabled');
  check(remote || serving.urls.length === 0, 'serving.driver', 'a driver that uses serving.urls, or none of them');
  return [...found, ...columnProblems(feedback)];
}

function columnProblems({ kind, table, columns }: ServiceConfig['feedback']): Problem[] {
  const named = Object.values(columns).some((column) => column !== undefined);
  if (table === undefined) {
    return named ? [{ path: 'feedback.table', expected: 'the table that feedback.columns are of' }] : [];
  }
  if (kind !== 'postgres') return [{ path: 'feedback.kind', expected: 'postgres for a feedback.table of your own' }];
  const { id, createdAt, type, rating, request, response, query, answer } = columns;
  const one = (a: unknown, b: unknown) => (a === undefined) !== (b === undefined);
  const complete: [boolean, string, string][] = [
    [id !== undefined, 'id', 'a column'],
    [createdAt !== undefined, 'createdAt', 'a column'],
    [one(type, rating), 'type', 'either a type or a rating'],
    [one(request, query), 'request', 'either a request or a query'],
    [one(response, answer), 'response', 'either a response or an answer'],
  ];
  return complete
    .filter(([ok]) => !ok)
    .map(([, name, expected]) => ({ path: `feedback.columns.${name}`, expected: `${expected} of feedback.table` }));
}
