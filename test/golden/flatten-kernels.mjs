/**
 * kernels.json as words and numbers, kernels.txt, for native/cuda/test, which has no JSON parser and needs neither Node nor
 * Python on the machine with the GPU:
 *
 *   node test/golden/flatten-kernels.mjs > test/golden/kernels.txt
 *
 * An array is its length and its elements; one that a case does not have is 0. native/cuda/test/goldens.cc reads the same
 * order; test/kernels/flat-goldens.test.ts holds the two files together.
 */
import { readFileSync } from 'node:fs';

const OPTIMIZERS = { sgd: 0, adamw: 1 };
const EWC_FORMS = { proximal: 1, gradient: 2 };

const array = (values) => [values?.length ?? 0, ...(values ?? [])].join(' ');

function* linesOf({ name, config, state, apply, consolidate, updates, updated }) {
  const { optimizer, ewc } = config;
  yield `case ${name.replaceAll(' ', '_')}`;
  yield [
    ...[config.rank, config.inFeatures, config.outFeatures, Number(config.residual)],
    ...[OPTIMIZERS[optimizer.kind], ewc ? EWC_FORMS[ewc.form] : 0, config.scaling, config.learningRate],
    ...[config.maxGradNorm ?? 'inf', ewc?.lambda ?? 0],
    ...[optimizer.beta1 ?? 0, optimizer.beta2 ?? 0, optimizer.epsilon ?? 0, optimizer.weightDecay],
  ].join(' ');
  for (const section of ['weights', 'fisher', 'anchor']) yield array(state[section]);
  yield array(apply.x);
  yield array(apply.y);
  yield array(consolidate?.x);
  yield array(consolidate?.fisher);
  yield String(consolidate?.decay ?? 0);
  yield String(updates.length);
  for (const { x, target, rowWeight, loss, gradNorm, clipped } of updates) {
    yield array(x);
    yield array(target);
    yield array(rowWeight);
    yield `${loss} ${gradNorm} ${Number(clipped)}`;
  }
  for (const section of ['weights', 'moment1', 'moment2']) yield array(updated[section]);
}

const { cases } = JSON.parse(readFileSync(new URL('kernels.json', import.meta.url), 'utf8'));
process.stdout.write(`${[cases.length, ...cases.flatMap((one) => [...linesOf(one)])].join('\n')}\n`);
