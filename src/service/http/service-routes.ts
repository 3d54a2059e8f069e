/** Routes of the service itself: is it well, what does it do; and of the model that it serves. */
import { generateAnswer, healthAnswer, live, overview, ready, session } from './answers.js';
import { streamAnswer } from './event-stream.js';
import { generateRequest } from './requests.js';
import { route } from './route.js';

export const SERVICE_ROUTES = [
  route({
    method: 'GET',
    url: '/health/live',
    summary: 'The process answers',
    scope: 'open',
    answer: live,
    run: async () => ({ status: 'live' }),
  }),
  route({
    method: 'GET',
    url: '/health/ready',
    summary: 'Whether to send requests here; 503 if not',
    scope: 'open',
    answer: ready,
    otherStatus: 503,
    run: async ({ service, reply }) => {
      const { status } = await service.health();
      if (status === 'unhealthy') reply.code(503);
      return { status: status === 'unhealthy' ? 'not_ready' : 'ready' };
    },
  }),
  route({
    method: 'GET',
    url: '/health',
    summary: 'How every component is, asked of it; 503 if unhealthy',
    scope: 'read',
    answer: healthAnswer,
    otherStatus: 503,
    run: async ({ service, reply }) => {
      const answer = await service.health();
      if (answer.status === 'unhealthy') reply.code(503);
      return answer;
    },
  }),
  route({
    method: 'GET',
    url: '/session',
    summary: 'Who calls, and what the caller may do',
    scope: 'read',
    answer: session,
    run: async ({ caller, scope, hasTokens }) => ({ name: caller.name, scope, tokens: hasTokens }),
  }),
  route({
    method: 'GET',
    url: '/overview',
    summary: 'The model, memory, and the feedback of the last 7 days',
    scope: 'read',
    answer: overview,
    run: ({ service }) => service.overview(),
  }),
  route({
    method: 'GET',
    url: '/metrics',
    summary: 'Everything that is counted, for Prometheus',
    scope: 'read',
    answer: { type: 'text/plain; version=0.0.4; charset=utf-8', about: 'Prometheus text' },
    run: ({ service }) => service.metrics(),
  }),
  route({
    method: 'POST',
    url: '/generate',
    summary: 'An answer of the model with the active version',
    scope: 'operate',
    timeLimit: 'hour',
    body: generateRequest,
    answer: generateAnswer,
    events: 'With stream: events text with { text }, then one answer with the whole of it, or one error.',
    problems: ['ERR_CONTEXT_FULL', 'ERR_INVALID_STATE'],
    run: ({ service, body: { stream = false, ...request }, signal, reply, explain }) =>
      stream
        ? streamAnswer({ reply, explain }, (onText) => service.generate(request, { signal, onText }))
        : service.generate(request, { signal }),
  }),
];
