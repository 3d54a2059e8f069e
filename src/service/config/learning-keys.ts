/** Keys of what is learnt: model, adapters, training, consolidation, the golden gate. */
import { LORA_MODULES } from '../../llm/decoder/contract.js';
import { pathPart, versionNumber } from './forms.js';
import { boolean, choice, integer, key, listOf, number, optional, text } from './kinds.js';

const FRACTION = number({ min: 0, max: 1 });

export const LEARNING_KEYS = {
  model: {
    folder: optional(text, 'Folder of the base model, in the form of Hugging Face.', 'BASE_MODEL_PATH'),
    name: optional(text, 'Name in versions and metrics. Unset: that of the folder.', 'MODEL_NAME'),
    backend: key(choice('auto', 'js', 'cpu', 'cuda'), 'auto', 'What computes.', 'LORAKEET_BACKEND'),
    weightStorage: optional(choice('f32', 'bf16', 'f16', 'int8'), 'How weights are kept. Unset: as in the files.'),
    arithmetic: key(choice('f32', 'bf16'), 'f32', 'Of products with the weights.'),
    threads: optional(integer(1, 1024), 'Unset: the cores granted to the process.'),
    sequences: key(integer(1, 4096), 4, 'Answers written at the same time.'),
    positions: optional(integer(16, 2 ** 20), 'Tokens of prompt and answer. Unset: those of the model, at most 2048.'),
  },
  lora: {
    enabled: key(boolean, true, 'Serve adapters at all; false: the base model answers.', 'LORA_ENABLED'),
    project: key(pathPart, 'default', 'Whose adapter it is.', 'LORA_PROJECT'),
    initialVersion: optional(versionNumber, 'Version to activate where none ever was.', 'ACTIVE_LORA_ADAPTER'),
    rank: key(integer(1, 4096), 16, 'Rank.', 'LORA_RANK'),
    alpha: key(number({ above: 0, max: 65536 }), 32, 'Changes are scaled by alpha / rank.', 'LORA_ALPHA'),
    dropout: key(number({ min: 0, max: 0.99 }), 0.05, 'Of what enters loraA, in training.', 'LORA_DROPOUT'),
    targetModules: key(
      listOf(choice(...LORA_MODULES), 1),
      ['q_proj', 'v_proj', 'k_proj', 'o_proj'],
      'Projections that are adapted.',
      'LORA_TARGET_MODULES',
    ),
    rsLora: key(boolean, false, 'Scale by alpha / √rank instead.'),
  },
  training: {
    days: key(integer(1, 3650), 7, 'Feedback of how many days is learnt from.'),
    minimumSamples: key(integer(1, 1e9), 100, 'Fewer are not learnt from, unless forced.', 'MIN_SAMPLES_FOR_TRAINING'),
    batchSize: key(integer(1, 65536), 4, 'Examples that go through the model together.', 'BATCH_SIZE'),
    accumulation: key(integer(1, 65536), 4, 'Batches of one optimiser step.', 'GRADIENT_ACCUMULATION_STEPS'),
    learningRate: key(number({ above: 0, max: 1 }), 2e-4, 'The highest.', 'LEARNING_RATE'),
    epochs: key(integer(1, 1000), 3, 'Times that every example is learnt from.', 'NUM_TRAIN_EPOCHS'),
    maxLength: key(integer(16, 2 ** 20), 2048, 'Tokens of an example; longer ones are left out.', 'MAX_SEQ_LENGTH'),
    warmupSteps: key(integer(0, 1e9), 10, 'Steps in which the learning rate rises.', 'WARMUP_STEPS'),
    likedWeight: key(number({ above: 0, max: 1000 }), 2, 'Weight of a liked answer in the loss.'),
    dislikedWeight: key(number({ above: 0, max: 1000 }), 0.5, 'Weight of a disliked one.'),
    dislikes: key(
      choice('unlikelihood', 'drop'),
      'unlikelihood',
      'A disliked answer without a correction: make it less likely, or leave it out.',
    ),
    corrections: key(
      choice('target', 'preference'),
      'target',
      'A disliked answer with a correction: write the correction, or prefer it to the answer.',
    ),
    prompts: key(
      choice('text', 'messages'),
      'text',
      "How a request is written: a line for each message, or by the model's chat template.",
    ),
    replayShare: key(FRACTION, 0.25, 'Earlier examples mixed in, relative to new ones.'),
    seed: key(integer(0, 2 ** 32 - 1), 0, 'Of initialisation, order and dropout.'),
    deploy: key(
      choice('never', 'approved'),
      'never',
      'approved: a version that the golden gate has approved is activated after it was published.',
    ),
    commit: optional(text, 'Commit of what is deployed, for the provenance of versions.', 'GIT_COMMIT_SHA'),
  },
  ewc: {
    enabled: key(boolean, true, 'Hold on to what was learnt before.'),
    lambda: key(number({ min: 100, max: 1000 }), 500, 'λ: how strongly.', 'EWC_LAMBDA'),
    decay: key(FRACTION, 0.5, 'γ: what is left of earlier importance in fisher ← γ·fisher + that of new examples.'),
    fisherSamples: key(integer(1, 1e6), 1000, 'Examples that importance is estimated from.', 'FISHER_NUM_SAMPLES'),
    fisherDays: key(integer(1, 3650), 30, 'Feedback of how many days they are taken from.', 'FISHER_HISTORY_DAYS'),
  },
  golden: {
    enabled: key(boolean, true, 'Judge new versions by the golden set.', 'GOLDEN_VALIDATION_ENABLED'),
    required: key(
      boolean,
      true,
      'A version that fails, or cannot be judged, is not approved; false: that is only recorded.',
      'GOLDEN_VALIDATION_REQUIRED',
    ),
    suite: optional(text, 'File of the cases, JSON or NDJSON.', 'GOLDEN_SUITE_PATH'),
    baseline: optional(
      text,
      'File of the outputs to compare with. Unset: the active version writes them.',
      'GOLDEN_BASELINE_OUTPUT_PATH',
    ),
    outputFolder: optional(
      text,
      'Where outputs are written. Unset: golden in storage.folder.',
      'GOLDEN_CANDIDATE_OUTPUT_DIR',
    ),
    maxNewTokens: key(integer(1, 65536), 192, 'Length of an output at most.', 'GOLDEN_VALIDATION_MAX_NEW_TOKENS'),
    maxRegressions: key(integer(0, 1e6), 1, 'Cases that may pass before and fail now.', 'GOLDEN_MAX_REGRESSIONS'),
    maxMeanScoreDrop: key(FRACTION, 0.15, 'How far the mean score may drop.', 'GOLDEN_MAX_MEAN_SCORE_DROP'),
    maxRelativeScoreDrop: key(
      FRACTION,
      0.05,
      'The same, as a share of the mean score before.',
      'GOLDEN_MAX_MEAN_SCORE_DROP_PCT',
    ),
    minPassRate: key(FRACTION, 0.85, 'Share of the cases that must pass.', 'GOLDEN_MIN_PASS_RATE'),
    maxUnsafeCases: key(integer(0, 1e6), 0, 'Outputs that may be unsafe.', 'GOLDEN_MAX_UNSAFE_CASES'),
  },
};
