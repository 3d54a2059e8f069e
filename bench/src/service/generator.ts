/**
 * Sends requests at set times, in a process of its own: `node generator.js '<GeneratorPlan>'`. A request is due when it is due,
 * however long earlier ones take, and its latency counts from then on: what a server that stalls does to callers is all in it.
 */
import { Agent, request } from 'node:http';

export interface GeneratorPlan {
  url: string;
  token: string;
  seconds: number;
  /** Each sent `perSecond` times a second, evenly. */
  streams: readonly { name: string; method: 'GET' | 'POST'; path: string; body?: object; perSecond: number }[];
}

export interface StreamFigures {
  name: string;
  sent: number;
  /** By status, or the code of a network error. */
  answers: Record<string, number>;
  /** Milliseconds from when it was due to the end of its answer. */
  p50: number;
  p99: number;
  p999: number;
  max: number;
  /** How late the generator itself was, in the worst 1 % of the requests. */
  lateP99: number;
}

type Stream = GeneratorPlan['streams'][number];

const WARM_UP_SECONDS = 2;
const MAX_SOCKETS = 512;

async function generate(plan: GeneratorPlan): Promise<StreamFigures[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, scheduling: 'lifo' });
  const start = performance.now() + 100;
  const figures = await Promise.all(plan.streams.map((stream, i) => run(plan, stream, start + i, agent)));
  agent.destroy();
  return figures;
}

async function run(plan: GeneratorPlan, stream: Stream, start: number, agent: Agent): Promise<StreamFigures> {
  const everyMs = 1000 / stream.perSecond;
  const warmUp = Math.ceil(stream.perSecond * WARM_UP_SECONDS);
  const total = warmUp + Math.ceil(stream.perSecond * plan.seconds);
  const latencies: number[] = [];
  const lateness: number[] = [];
  const answers: Record<string, number> = {};
  const pending = new Set<Promise<void>>();
  for (let sent = 0; sent < total; ) {
    const now = performance.now();
    for (; sent < total && start + sent * everyMs <= now; sent++) {
      const due = start + sent * everyMs;
      const counts = sent >= warmUp;
      if (counts) lateness.push(now - due);
      const one = send(plan, stream, agent).then((answer) => {
        pending.delete(one);
        answers[answer] = (answers[answer] ?? 0) + 1;
        if (counts) latencies.push(performance.now() - due);
      });
      pending.add(one);
    }
    await new Promise((done) => setTimeout(done, 1));
  }
  await Promise.all(pending);
  const sorted = Float64Array.from(latencies).sort();
  const at = (share: number, of = sorted) => of[Math.min(of.length - 1, Math.floor(of.length * share))];
  const lateP99 = at(0.99, Float64Array.from(lateness).sort());
  const { name } = stream;
  return { name, sent: total, answers, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1), lateP99 };
}

/** The status, or the code of the network's error. */
function send({ url, token }: GeneratorPlan, { method, path, body }: Stream, agent: Agent): Promise<string> {
  const bytes = body && JSON.stringify(body);
  const headers = {
    authorization: `Bearer ${token}`,
    ...(bytes && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) }),
  };
  return new Promise((done) => {
    const outgoing = request(`${url}${path}`, { method, agent, headers }, (response) => {
      response.resume();
      response.once('end', () => done(String(response.statusCode)));
      response.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    });
    outgoing.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    outgoing.end(bytes);
  });
}

console.log(JSON.stringify(await generate(JSON.parse(process.argv[2]) as GeneratorPlan)));
