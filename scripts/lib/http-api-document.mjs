/** docs/http-api.md from the table of routes and the tables of problems. */

const INTRODUCTION = `# HTTP API

<!-- Made from the tables in src/service/http by \`node scripts/write-http-api.mjs\`; a test compares. -->

The learning engine service answers on port 8003 (\`service.port\`). The OpenAPI document is at \`/docs/json\` and can be tried out at
\`/docs\`; the dashboard is at \`/\`.

\`\`\`sh
curl -X POST localhost:8003/feedback -H 'Content-Type: application/json' -d '{
  "feedback_type": "thumbs_up",
  "request_data": { "messages": [{ "role": "user", "content": "What is a LoRA adapter?" }] },
  "response_data": { "choices": [{ "message": { "content": "A small change to the weights of a model." } }] }
}'
curl -X POST localhost:8003/train -H 'Content-Type: application/json' -d '{ "days": 7 }'
curl localhost:8003/training/status
\`\`\`

In a program of your own it is

\`\`\`ts
import { loadConfig, openLearningService, serve } from 'lorakeet/service';

const token = '3f9c1e77b0a24d58';
const { config } = await loadConfig({
  env: {},
  overrides: {
    'service.host': '127.0.0.1',
    'service.port': 0,
    'service.tokens': [{ name: 'app', token, scope: 'operate' }],
  },
});
const service = await openLearningService(config);
const { url, close } = await serve(service, config, { signals: false }); // true, the default: SIGTERM and SIGINT end it
const response = await fetch(\`\${url}/feedback\`, {
  method: 'POST',
  headers: { authorization: \`Bearer \${token}\`, 'content-type': 'application/json' },
  body: JSON.stringify({ id: 'chat-17', feedback_type: 'thumbs_up', request_data: {}, response_data: {} }),
});
const { ids, added } = await response.json();
if (response.status !== 201 || ids[0] !== 'chat-17' || added !== 1) throw new Error('unexpected');
await close(); // the service too
\`\`\`

\`createHttpApp\` is the same as a fastify app, which does not listen and does not close the service.

## Who may call

A service with \`service.tokens\` listens on every address and asks for \`Authorization: Bearer <token>\`. The scope \`read\` is for what
only looks, \`operate\` for everything, and for whatever changes something, costs something or writes something. Open to
everybody are \`/health/live\`, \`/health/ready\`, the dashboard's page and \`/docs\`, which hold no data. The name of the token goes into
audit trails.

A service without tokens listens on a loopback address only, and refuses to start on another; whoever is on the machine may do
everything. It refuses requests whose \`Host\` is no loopback address, and those that a page of another site makes (\`Origin\`): 403.
There are no CORS headers. TLS is the business of a proxy in front; one that sits on the same machine has to be given a token.

## Form

- Bodies are JSON in UTF-8 (\`application/json\`). Where every field may be left out, so may the body. Unknown fields and
  parameters are refused, with the field named: a typo never goes unnoticed.
- Fields have underscores. Keys of free maps (\`audit_context\`, \`metrics\`, \`training\`, …) and what is in \`request_data\` and
  \`response_data\` are data, and stay as they are. Times are ISO 8601 in UTC; those that are sent need a time zone.
- Texts are well-formed Unicode without NUL; JSON that is data has at most 32 levels.
- Clients should expect fields that they do not know: later versions may answer more.
- Every answer has the header \`X-Request-Id\`: the client's own, if it has at most 64 of the characters \`A-Za-z0-9_.:-\`, or a new one.
  Each request is a line in the log, without bodies, queries and tokens.

\`POST /feedback\` takes a row, or \`{ "feedback": [rows] }\` with up to 10,000 of them, with the names of the columns in
docs/service.md. It answers when they are durable; rows with an \`id\` can be sent again without harm.

\`POST /train\`, \`/train/jsonl\` and \`/fisher/calculate\` make a job and answer 202 with \`{ status, message, job_id, job }\`. What comes
of it is at \`/jobs/{job_id}\`. A request with an \`idempotency_key\` can be sent again: it answers the same job.

\`POST /generate\` with \`"stream": true\` answers \`text/event-stream\`: events \`text\` with \`{ "text": … }\`, then one \`answer\` with all
that it would have answered otherwise, or one \`error\` with what any error has. What is wrong before the first text is an
ordinary error. A client that goes away ends the work, of \`/validation/golden-set\` too.

## Limits

| | | |
|---|---|---|
| requests a second of one caller (of one address, without a token) | \`service.rateLimitPerSecond\` | 429, \`Retry-After\` |
| body | \`service.bodyLimitBytes\` | 413 |
| headers, part of a path | 16 KiB, 1000 characters | 431, 414 |
| until a request has arrived | \`service.requestTimeoutSeconds\` | 408 |
| until it is answered | \`service.requestTimeoutSeconds\` | 504 |
| the same for a deploy and for \`POST /lora/…\` | and \`serving.timeoutSeconds\` | 504 |
| the same for \`/generate\` and \`/validation/golden-set\` | an hour | 504; ends a stream with \`error\` |

After a 504 what was begun may still be done: ask for the job or for \`/lora/status\`.

On SIGTERM and SIGINT the service takes no more connections, answers 503 to new requests on those that are open, finishes the
requests under way within \`service.shutdownTimeoutSeconds\` and ends the others; then it lets a running job make its checkpoint. A
second signal ends it at once.

## Errors

\`\`\`json
{ "error": { "code": "ERR_INVALID_REQUEST", "message": "days: Too small: expected number to be >=1", "field": "days", "request_id": "…" } }
\`\`\`

All of them have this form, whatever failed. \`code\` is stable. \`field\` is there where one field is to blame, such as
\`feedback[2].created_at\`. A 500 says nothing of its cause; the log does, under the \`request_id\`.

`;

const cell = (text) => text.replaceAll('|', '\\|');
const row = (...cells) => `| ${cells.map(cell).join(' | ')} |`;

/**
 * @param tables { ROUTES } of src/service/http/routes.ts, { HTTP_PROBLEMS, SERVICE_STATUSES } of src/service/http/problems.ts,
 * { ERROR_CODES } of src/errors.ts
 */
export function httpApiDocument({ ROUTES, HTTP_PROBLEMS, SERVICE_STATUSES, ERROR_CODES }) {
  const own = Object.entries(HTTP_PROBLEMS).map(([code, [status, about]]) => ({ status, code, about }));
  const others = Object.entries(SERVICE_STATUSES).map(([code, status]) => ({ status, code, about: ERROR_CODES[code] }));
  const problems = [...own, ...others].sort((a, b) => a.status - b.status);
  const routes = ROUTES.map(({ method, url, scope, summary }) =>
    row(`\`${method} ${url.replace(/:(\w+)/g, '{$1}')}\``, scope, summary),
  );
  return [
    INTRODUCTION + ['| status | code | |', '|---|---|---|'].join('\n'),
    ...problems.map(({ status, code, about }) => row(String(status), `\`${code}\``, about)),
    '',
    '## Routes',
    '',
    'What each takes and answers is in the OpenAPI document.',
    '',
    '| route | scope | |',
    '|---|---|---|',
    ...routes,
    '',
  ].join('\n');
}
