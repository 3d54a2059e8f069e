import { afterEach, describe, expect, it } from 'vitest';
import { type Answering, answering, json } from './answers.js';
import { run } from './run.js';

const TOKEN = 'token-that-nobody-must-see';
let server: Answering | undefined;

afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function against(answer: Parameters<typeof answering>[0], args: readonly string[], env = {}) {
  server = await answering(answer);
  return run(args, { env: { LEARNING_ENGINE_URL: server.url, LEARNING_ENGINE_TOKEN: TOKEN, ...env } });
}

const problem = (status: number, code: string, message = 'no') =>
  ((_, response) => json(response, status, { error: { code, message, request_id: 'r-1' } })) as Parameters<
    typeof answering
  >[0];

describe('what a service answers', () => {
  it.each([
    [400, 'ERR_MALFORMED_JSON', 2],
    [401, 'ERR_UNAUTHORIZED', 4],
    [403, 'ERR_FORBIDDEN', 4],
    [404, 'ERR_JOB_NOT_FOUND', 6],
    [409, 'ERR_VERSION_CONFLICT', 5],
    [409, 'ERR_INVALID_STATE', 5],
    [422, 'ERR_INVALID_REQUEST', 2],
    [429, 'ERR_RATE_LIMITED', 3],
    [500, 'ERR_INTERNAL', 1],
    [502, 'ERR_SERVING_REFUSED', 1],
    [503, 'ERR_STORE_UNAVAILABLE', 3],
    [504, 'ERR_REQUEST_TIMEOUT', 3],
  ])('is an exit code: %i %s → %i', async (status, code, exit) => {
    const ran = await against(problem(status, code), ['jobs', 'show', 'j-1']);
    expect([ran.code, ran.stdout]).toEqual([exit, '']);
    expect(ran.stderr).toMatch(/^lorakeet: no.*\n$/);
    expect(ran.stderr).toContain(code);
    expect(ran.stderr.includes('request r-1')).toBe(status >= 500);
  });

  it('says where the token goes when there is none', async () => {
    expect((await against(problem(401, 'ERR_UNAUTHORIZED'), ['status'])).stderr).toContain('LEARNING_ENGINE_TOKEN');
  });

  it('keeps the token for itself, and takes that of the option before that of the variable', async () => {
    const echo = problem(409, 'ERR_INVALID_STATE', `you said ${TOKEN}`);
    const ran = await against(echo, ['status'], { LORAKEET_DEBUG: '1' });
    expect(server?.seen[0].authorization).toBe(`Bearer ${TOKEN}`);
    expect(ran.stderr).toContain('you said ***');
    expect(ran.stderr).not.toContain(TOKEN);
    await server?.close();
    await against(echo, ['status', '--token', 'another']);
    expect(server?.seen[0].authorization).toBe('Bearer another');
  });

  it('is told from what somebody else answers', async () => {
    const page = await against((_, response) => void response.end('<html>hello</html>'), ['status']);
    expect([page.code, page.stderr]).toEqual([1, expect.stringContaining('is it a lorakeet service?')]);
    await server?.close();
    const moved = await against((_, response) => void response.writeHead(302, { location: '/' }).end(), ['status']);
    expect([moved.code, moved.stderr]).toEqual([1, expect.stringContaining('status 302')]);
  });

  it('cannot move the cursor or fake a line', async () => {
    const { stderr } = await against(problem(409, 'ERR_INVALID_STATE', 'a\nb\u001b[2Jc'), ['status']);
    expect(stderr).toBe('lorakeet: a; b [2Jc (ERR_INVALID_STATE)\n');
  });
});

describe('a service that does not answer', () => {
  it('is named, with what to do', async () => {
    const ran = await run(['status', '--base-url', 'http://127.0.0.1:9']);
    expect([ran.code, ran.stdout]).toEqual([3, '']);
    expect(ran.stderr).toMatch(
      /^lorakeet: GET http:\/\/127\.0\.0\.1:9\/training\/status: .*lorakeet serve.*--base-url.*\n$/,
    );
  });

  it('is waited for as long as was said', async () => {
    const ran = await against(() => {}, ['status', '--timeout', '0.2']);
    expect([ran.code, ran.stderr]).toEqual([3, expect.stringContaining('no answer within 0.2 s')]);
  });

  it('ends its answer before it is whole', async () => {
    const half = await against(
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{');
        response.destroy();
      },
      ['status'],
    );
    expect(half.code).toBe(3);
    await server?.close();
    const stream = await against(
      (_, response) => void response.end('event: text\ndata: {"text":"so "}\n\n'),
      ['generate', 'x'],
    );
    expect(stream).toMatchObject({ code: 1, stdout: 'so ', stderr: expect.stringContaining('before its last event') });
  });

  it('is given up when somebody interrupts', async () => {
    const interruption = new AbortController();
    server = await answering(() => interruption.abort());
    const ran = await run(['status', '--base-url', server.url], { signal: interruption.signal });
    expect([ran.code, ran.stderr]).toEqual([130, expect.stringContaining('ERR_ABORTED')]);
  });
});

describe('a job that is waited for', () => {
  const job = (state: string, more = {}) => ({
    id: 'j-1',
    state,
    payload: { kind: 'train' },
    queue: 'train:default',
    created_at: '2026-01-05T02:00:00.000Z',
    run_at: '2026-01-05T02:00:00.000Z',
    failures: 0,
    max_attempts: 3,
    cancel_requested: false,
    ...more,
  });
  const ended = { finished_at: '2026-01-05T02:01:00.000Z' };
  const sequence = (...jobs: unknown[]): Parameters<typeof answering>[0] => {
    let next = 0;
    return (_, response) => json(response, 200, jobs[Math.min(next++, jobs.length - 1)]);
  };
  const running = (done: number) => job('running', { progress: { phase: 'train', done, total: 8, loss: 1.5 } });

  it('says how far it is, and how it ended', async () => {
    const result = { status: 'success', version: 'v1.0', approved: true, final_loss: 0.5 };
    const answer = sequence(job('queued'), running(1), job('completed', { ...ended, result }));
    const ran = await against(answer, ['jobs', 'wait', 'j-1']);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toBe('queued\ntrain 12% loss 1.5000\n');
    expect(ran.stdout).toMatch(/version +v1\.0/);
  });

  it.each([
    ['that failed', job('failed', { ...ended, error: 'out of data' }), 1],
    ['that was cancelled', job('cancelled', ended), 1],
    [
      'that the gate did not approve',
      job('completed', { ...ended, result: { status: 'success', approved: false } }),
      1,
    ],
    ['that had too little to learn from', job('completed', { ...ended, result: { status: 'skipped' } }), 0],
  ])('has an exit code: one %s', async (_, answer, code) => {
    expect((await against(sequence(answer), ['jobs', 'wait', 'j-1', '--json'])).code).toBe(code);
  });

  it('is waited for while its service is away, but not before it was ever there', async () => {
    let times = 0;
    const answer: Parameters<typeof answering>[0] = (_, response) => {
      if (++times === 2) response.destroy();
      else json(response, 200, times === 1 ? running(1) : job('completed', ended));
    };
    expect((await against(answer, ['jobs', 'wait', 'j-1'])).code).toBe(0);
    await server?.close();
    expect((await against((_, response) => void response.destroy(), ['jobs', 'wait', 'j-1'])).code).toBe(3);
  });

  it('goes on when somebody interrupts, and can be waited for again', async () => {
    const interruption = new AbortController();
    server = await answering(sequence(running(1)));
    const ran = await run(['jobs', 'wait', 'j-1', '--base-url', server.url], {
      signal: interruption.signal,
      onStderr: () => interruption.abort(),
    });
    expect([ran.code, ran.stderr]).toEqual([130, expect.stringContaining('the job goes on: lorakeet jobs wait j-1')]);
  });
});
