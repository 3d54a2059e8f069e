/** Routes of feedback. */
import { inputOfRow, rowOfFeedback, timeOf } from '../feedback/feedback-rows.js';
import type { FeedbackWindow } from '../feedback/feedback-store.js';
import { appendedFeedback, feedbackCounts } from './answers.js';
import { feedbackPage, feedbackQuery, feedbackRequest, feedbackWindow } from './feedback-requests.js';
import { route } from './route.js';

export const FEEDBACK_ROUTES = [
  route({
    method: 'POST',
    url: '/feedback',
    summary: 'Judgements of answers: one row, or { feedback: [rows] }; answered when they are durable',
    scope: 'operate',
    body: feedbackRequest,
    raw: true,
    status: 201,
    answer: appendedFeedback,
    problems: ['ERR_QUEUE_FULL'],
    run: ({ service, body }) => {
      const rows = 'feedback' in body ? body.feedback : [body];
      return service.appendFeedback(rows.map(inputOfRow));
    },
  }),
  route({
    method: 'GET',
    url: '/feedback',
    summary: 'Rows of feedback, oldest first',
    scope: 'read',
    query: feedbackQuery,
    answer: feedbackPage,
    raw: true,
    run: async ({ service, query: { limit = 100, after, ...window } }) => {
      const { rows, next } = await service.feedback(windowOf(window), { limit, after });
      return { feedback: rows.map(rowOfFeedback), next };
    },
  }),
  route({
    method: 'GET',
    url: '/feedback/count',
    summary: 'How much feedback there is, by type, intent and project',
    scope: 'read',
    query: feedbackWindow,
    answer: feedbackCounts,
    run: ({ service, query }) => service.countFeedback(windowOf(query)),
  }),
];

function windowOf({ since, until }: { since?: string; until?: string }): FeedbackWindow {
  return { ...(since !== undefined && { since: timeOf(since) }), ...(until !== undefined && { until: timeOf(until) }) };
}
