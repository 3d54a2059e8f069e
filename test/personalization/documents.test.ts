/** The snippets of the original documents that need no ReasoningBank, as they stand there but for the import. */
import { expect, it } from 'vitest';
import { createAdapterFeedback, createLoRAPersonalizationEngine, silentLogger } from '../../src/index.js';
import { feedbackRows, randomVector, watchEvent } from './samples.js';

const logger = silentLogger;

it('Basic Usage (No ReasoningBank)', async () => {
  const feedback = feedbackRows(4, 64);
  const engine = createLoRAPersonalizationEngine({
    rank: 4,
    embeddingDim: 64,
    logger,
  });

  const adapter = engine.createAdapter('user-001');
  const updatedAdapter = await engine.updateAdapter(adapter, feedback);

  expect(updatedAdapter).toMatchObject({ userId: 'user-001', version: 2 });
});

it('Constructor Options, without the two of the ReasoningBank', () => {
  const config = {
    rank: 8,
    embeddingDim: 128,
    scalingFactor: 1.0,
    learningRate: 0.001,
    useEWC: true,
    ewcLambda: 0.5,
    gradientClipThreshold: 1.0,
  };
  expect(createLoRAPersonalizationEngine({ ...config, logger }).getConfig()).toMatchObject(config);
});

it('Migration Guide: only rank given', () => {
  const engine = createLoRAPersonalizationEngine({ rank: 8, logger });
  expect(engine.createAdapter('user-001')).toMatchObject({ rank: 8, embeddingDim: 64 });
});

it('Adapter Update Flow: watch event, feedback, update, forward', async () => {
  const engine = createLoRAPersonalizationEngine({ logger });
  const content = randomVector(64);
  const liked = randomVector(64, 2);
  const event = watchEvent({ userId: 'user-001', completionRate: 1, rating: 5, isRewatch: true });
  const feedback = [createAdapterFeedback(event, content, liked)];

  let adapter = engine.createAdapter('user-001');
  const distance = (x: Float32Array) => Math.hypot(...x.map((value, i) => value - liked[i]));
  const before = distance(engine.computeLoRAForward(content, adapter));
  for (let update = 0; update < 100; update++) adapter = await engine.updateAdapter(adapter, feedback);

  expect(distance(engine.computeLoRAForward(content, adapter))).toBeLessThan(0.05 * before);
  expect(engine.deserializeAdapter(engine.serializeAdapter(adapter))).toEqual(adapter);
});
