/** Routes of training, Fisher information, validation, and jobs. */
import type { Job } from '../jobs/job.js';
import { goldenReport } from './golden-answers.js';
import { job, jobPage, started, trainingStatus } from './job-answers.js';
import { fisherRequest, goldenRequest, jobPath, jobQuery, trainFileRequest, trainRequest } from './requests.js';
import { route } from './route.js';

export const TRAINING_ROUTES = [
  route({
    method: 'POST',
    url: '/train',
    summary: 'Learn from the feedback of the last days',
    scope: 'operate',
    body: trainRequest,
    status: 202,
    answer: started,
    run: async ({ service, body, caller }) => startOf('training', await service.train(body, caller)),
  }),
  route({
    method: 'POST',
    url: '/train/jsonl',
    summary: 'Learn from a file of examples',
    scope: 'operate',
    body: trainFileRequest,
    status: 202,
    answer: started,
    problems: ['ERR_PATH_NOT_ALLOWED', 'ERR_FILE_ACCESS'],
    run: async ({ service, body, caller }) => startOf('training', await service.trainFile(body, caller)),
  }),
  route({
    method: 'POST',
    url: '/fisher/calculate',
    summary: 'Estimate which weights of a version matter',
    scope: 'operate',
    body: fisherRequest,
    status: 202,
    answer: started,
    problems: ['ERR_VERSION_NOT_FOUND'],
    run: async ({ service, body, caller }) =>
      startOf('Fisher information', await service.calculateFisher(body, caller)),
  }),
  route({
    method: 'GET',
    url: '/training/status',
    summary: 'What is being trained, what was, what comes next',
    scope: 'read',
    answer: trainingStatus,
    run: ({ service }) => service.trainingStatus(),
  }),
  route({
    method: 'POST',
    url: '/validation/golden-set',
    summary: 'Judge a version, or a file of answers, by a golden suite',
    scope: 'operate',
    timeLimit: 'hour',
    body: goldenRequest,
    answer: goldenReport,
    problems: ['ERR_VERSION_NOT_FOUND', 'ERR_PATH_NOT_ALLOWED', 'ERR_FILE_ACCESS', 'ERR_FORMAT_CORRUPT'],
    run: ({ service, body, signal }) => service.validate(body, { signal }),
  }),
  route({
    method: 'GET',
    url: '/jobs',
    summary: 'Jobs, newest first',
    scope: 'read',
    query: jobQuery,
    answer: jobPage,
    run: ({ service, query: { state, ...rest } }) => service.jobs({ ...rest, ...(state && { states: state }) }),
  }),
  route({
    method: 'GET',
    url: '/jobs/:id',
    summary: 'One job, with its progress and its result',
    scope: 'read',
    path: jobPath,
    answer: job,
    problems: ['ERR_JOB_NOT_FOUND'],
    run: ({ service, path }) => service.job(path.id),
  }),
  route({
    method: 'POST',
    url: '/jobs/:id/cancel',
    summary: 'Cancel a job that waits or runs',
    scope: 'operate',
    path: jobPath,
    answer: job,
    problems: ['ERR_JOB_NOT_FOUND', 'ERR_INVALID_STATE'],
    run: ({ service, path }) => service.cancelJob(path.id),
  }),
];

function startOf(what: string, job: Job) {
  return { status: 'started', message: `${what}: job ${job.id}, see GET /jobs/${job.id}`, jobId: job.id, job };
}
