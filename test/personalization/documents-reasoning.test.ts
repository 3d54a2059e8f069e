/**
 * The ReasoningBank snippets of the original documents, as they stand there but for the imports: ReasoningBank is here a
 * class of the same form, kept in memory, and console and setInterval are watched.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import createdByDefault, {
  createAdapterFeedback,
  createLoRAPersonalizationEngine,
  LoRAPersonalizationEngine,
} from '../../src/index.js';
import { ListBank } from '../reasoning/banks.js';
import { feedbackRows, randomVector, watchEvent } from './samples.js';

class ReasoningBank extends ListBank {
  constructor(readonly name: string) {
    super();
    this.recommendation = 'Reduce learning rate to 0.0008 for better convergence';
  }
}

const lines: string[] = [];
beforeEach(() => {
  for (const method of ['log', 'warn', 'error'] as const) {
    vi.spyOn(console, method).mockImplementation((line) => lines.push(line));
  }
});
afterEach(() => {
  vi.restoreAllMocks();
  lines.length = 0;
});

const feedback = feedbackRows(4, 128);
const moreFeedback = feedbackRows(4, 128, 2);

it('the default export is the class', () => {
  expect(createdByDefault).toBe(LoRAPersonalizationEngine);
});

it('Installation', () => {
  const reasoningBank = new ReasoningBank('lora-adaptations-db');

  const engine = createLoRAPersonalizationEngine({
    rank: 8,
    embeddingDim: 128,
    learningRate: 0.001,
    reasoningBank, // Enable adaptive learning
    enableReasoningBankCache: true, // Enable caching (default: true)
  });

  expect(engine.getConfig()).toMatchObject({ reasoningBank, enableReasoningBankCache: true });
});

it('With ReasoningBank Integration', async () => {
  const reasoningBank = new ReasoningBank('lora-db');
  for (let i = 0; i < 3; i++)
    await reasoningBank.storePattern({ sessionId: 's', task: 't', success: true, reward: 0.9 });
  const engine = createLoRAPersonalizationEngine({
    rank: 8,
    embeddingDim: 128,
    learningRate: 0.001,
    reasoningBank,
  });

  const adapter = engine.createAdapter('user-001');

  // Update adapter - ReasoningBank will:
  // 1. Query for similar past adaptations
  // 2. Apply learned optimization strategies
  // 3. Store this episode for future learning
  const updatedAdapter = await engine.updateAdapter(adapter, feedback);

  expect(updatedAdapter.version).toBe(2);
  await engine.flushReasoningBank();
  const outputs = [
    '🧠 ReasoningBank: Found 3 similar adaptation patterns',
    '💡 ReasoningBank: Strategy confidence 87.5%',
  ];
  outputs.push('📈 ReasoningBank: Adjusted learning rate to 0.0008');
  expect(lines.slice(-4, -1)).toEqual(outputs);
  expect(lines.at(-1)).toMatch(/^💾 ReasoningBank: Stored adaptation episode #4 \(reward: \d\.\d\d\)$/);
});

it('Hot-Swapping ReasoningBank', async () => {
  // Start without ReasoningBank
  const engine = createLoRAPersonalizationEngine({ rank: 8 });
  const adapter = engine.createAdapter('user-001');
  const feedback = feedbackRows(4, 64);
  const moreFeedback = feedbackRows(4, 64, 2);

  console.log(engine.hasReasoningBank()); // false
  expect(lines.at(-1)).toBe(false);

  // Train some adapters...
  await engine.updateAdapter(adapter, feedback);

  // Later, connect ReasoningBank
  const reasoningBank = new ReasoningBank('lora-db');
  engine.connectReasoningBank(reasoningBank);

  console.log(engine.hasReasoningBank()); // true
  expect(lines.at(-1)).toBe(true);

  // Now future updates use ReasoningBank
  await engine.updateAdapter(adapter, moreFeedback);
  expect(reasoningBank.calls.retrieve).toBe(1);

  // Disconnect if needed
  engine.disconnectReasoningBank();
  expect(engine.hasReasoningBank()).toBe(false);
});

describe('after some users have learned', () => {
  const reasoningBank = new ReasoningBank('production-lora-db');

  beforeEach(async () => {
    const engine = createLoRAPersonalizationEngine({ rank: 8, embeddingDim: 128, reasoningBank });
    for (const userId of ['a', 'b', 'c']) {
      let adapter = engine.createAdapter(userId);
      for (let i = 0; i < 100; i++) adapter = await engine.updateAdapter(adapter, feedbackRows(1, 128, 3));
    }
    await engine.flushReasoningBank();
    expect(reasoningBank.patterns.some(({ success, reward }) => success && reward >= 0.7)).toBe(true);
  });

  it('Transfer Learning from Similar Users', async () => {
    const engine = createLoRAPersonalizationEngine({
      rank: 8,
      embeddingDim: 128,
      reasoningBank,
    });

    // Find similar successful adaptations
    const similarAdaptations = await engine.getSimilarAdaptations('new-user', 5);

    if (similarAdaptations && similarAdaptations.length > 0) {
      console.log(`Found ${similarAdaptations.length} similar users:`);
      for (const adaptation of similarAdaptations) {
        console.log(`  User: ${adaptation.userId}`);
        console.log(`  Avg Loss: ${adaptation.avgLoss.toFixed(4)}`);
        console.log(`  Reward: ${adaptation.reward.toFixed(2)}`);
        console.log(`  Optimal Learning Rate: ${adaptation.learningRate.toFixed(4)}`);
      }

      // Use insights to initialize new adapter with better hyperparameters
      const newAdapter = engine.createAdapter('new-user');
      expect(newAdapter.version).toBe(1);
    }

    expect(lines).toContain('Found 5 similar users:');
    expect(lines).toContain('  User: c');
    expect(lines).toContain('  Optimal Learning Rate: 0.0008');
  });

  it('Pattern Consolidation', async () => {
    const engine = createLoRAPersonalizationEngine({ rank: 8, embeddingDim: 128, reasoningBank });
    // After training many adapters, consolidate successful patterns into skills
    const result = await engine.consolidateAdaptationPatterns(
      0.85, // minSuccessRate: 85%
      5, // minUses: pattern used at least 5 times
      30, // lookbackDays: consider last 30 days
    );

    if (result) {
      console.log(`Created ${result.skillsCreated} reusable adaptation skills`);
      // These skills can be applied to new users for faster convergence
    }

    expect(lines.at(-1)).toBe(`Created ${reasoningBank.patterns.length} reusable adaptation skills`);
    expect(reasoningBank.consolidations.at(-1)).toEqual([5, 0.85, 30]);
  });

  it('Use Transfer Learning for New Users', async () => {
    const engine = createLoRAPersonalizationEngine({ rank: 8, embeddingDim: 128, reasoningBank });
    const found: number[] = [];
    async function initializeNewUser(userId: string) {
      const similar = await engine.getSimilarAdaptations(userId, 5);
      if (similar && similar.length > 0) {
        // Use insights to set optimal initial hyperparameters
        const avgOptimalLR = similar.reduce((sum, s) => sum + s.learningRate, 0) / similar.length;
        // Apply to new adapter initialization...
        found.push(avgOptimalLR);
      }
    }
    await initializeNewUser('new-user');
    expect(found[0]).toBeCloseTo(0.0008, 12);
  });
});

it('Cache Management, Monitor Performance', async () => {
  const reasoningBank = new ReasoningBank('lora-db');
  const engine = createLoRAPersonalizationEngine({
    rank: 8,
    reasoningBank,
    enableReasoningBankCache: true, // Default: true
  });
  const adapter = engine.createAdapter('user-001');
  for (let i = 0; i < 10; i++) await engine.updateAdapter(adapter, feedbackRows(4, 64));

  // Check cache stats
  const stats = engine.getReasoningBankStats();
  console.log(`ReasoningBank enabled: ${stats.enabled}`);
  console.log(`Cache Size: ${stats.cacheSize}`);
  console.log(`Session ID: ${stats.sessionId}`);
  expect(lines.slice(-3)).toEqual([
    'ReasoningBank enabled: true',
    'Cache Size: 1',
    expect.stringMatching(/^Session ID: lora-engine-\d{13}-[0-9a-f]{9}$/),
  ]);
  expect(stats.cacheHitRate).toBe(0.9);

  // Clear cache if needed (e.g., after major model updates)
  engine.clearReasoningBankCache();
  expect(engine.getReasoningBankStats().cacheSize).toBe(0);
});

it('Migration Guide: After', async () => {
  const reasoningBank = new ReasoningBank('lora-db');
  const engine = createLoRAPersonalizationEngine({
    rank: 8,
    reasoningBank, // Add this
  });
  const adapter = engine.createAdapter('user-001');
  const updated = await engine.updateAdapter(adapter, feedbackRows(2, 64)); // Now async
  expect(updated.version).toBe(2);
});

it('Consolidate Patterns Regularly', async () => {
  const engine = createLoRAPersonalizationEngine({ reasoningBank: new ReasoningBank('lora-db') });
  vi.useFakeTimers();
  // Run weekly
  const timer = setInterval(
    async () => {
      await engine.consolidateAdaptationPatterns(0.85, 5, 30);
    },
    7 * 24 * 60 * 60 * 1000,
  );
  await vi.advanceTimersByTimeAsync(7 * 24 * 60 * 60 * 1000);
  clearInterval(timer);
  vi.useRealTimers();
  expect(lines.at(-1)).toContain('Consolidating');
});

it('The architecture’s flow: watch event, feedback, update with a bank, forward', async () => {
  const engine = createLoRAPersonalizationEngine({ reasoningBank: new ReasoningBank('lora-db') });
  const content = randomVector(64);
  const event = watchEvent({ userId: 'user-001', completionRate: 1, rating: 5, isRewatch: true });
  const adapter = await engine.updateAdapter(engine.createAdapter('user-001', { vector: randomVector(64, 4) }), [
    createAdapterFeedback(event, content, randomVector(64, 2)),
  ]);
  expect(engine.computeLoRAForward(content, adapter)).toHaveLength(64);
  expect(engine.batchComputeLoRAForward([content, content], adapter)).toHaveLength(2);
  expect(engine.deserializeAdapter(engine.serializeAdapter(adapter))).toEqual(adapter);
  await engine.updateAdapter(adapter, [createAdapterFeedback(event, content)]);
});

it('Hot-swapped banks see the updates of their own time', async () => {
  const engine = createLoRAPersonalizationEngine({ rank: 8, embeddingDim: 128 });
  const [first, second] = [new ReasoningBank('first'), new ReasoningBank('second')];
  engine.connectReasoningBank(first);
  const adapter = await engine.updateAdapter(engine.createAdapter('user-001'), feedback);
  engine.connectReasoningBank(second);
  await engine.updateAdapter(adapter, moreFeedback);
  await engine.close();
  expect([first, second].map(({ patterns }) => patterns.length)).toEqual([1, 1]);
});
