/** The shape of an adapter, and how fast it learns. */
import { LORA_MODULES, type LoraModule } from '../llm/decoder/contract.js';
import { allOf, ensure, notBlank, positive, positiveInteger } from './checks.js';
import { failure, type Result, success, type Unit } from './result.js';

const MAX_RANK = 256;
const MAX_STEPS = 1_000_000;
const MAX_LEARNING_RATE = 1;

export interface AdapterConfigFields {
  rank: number;
  learningRate: number;
  /** Of one training. */
  maxSteps: number;
  /** Names of projections, separated by commas. */
  targetModules: string;
  /** Scale by alpha / √rank rather than alpha / rank; alpha is 2 · rank. */
  useRSLoRA: boolean;
}

/** Immutable; anything may be given to the constructor, and validate() says whether it can be used. */
export class AdapterConfig implements AdapterConfigFields {
  readonly rank: number;
  readonly learningRate: number;
  readonly maxSteps: number;
  readonly targetModules: string;
  readonly useRSLoRA: boolean;

  constructor({
    rank = 8,
    learningRate = 3e-4,
    maxSteps = 1000,
    targetModules = 'q_proj,v_proj',
    useRSLoRA = false,
  }: Partial<AdapterConfigFields> = {}) {
    this.rank = rank;
    this.learningRate = learningRate;
    this.maxSteps = maxSteps;
    this.targetModules = targetModules;
    this.useRSLoRA = useRSLoRA;
    Object.freeze(this);
  }

  /** Rank 8, learning rate 3e-4, 1000 steps, q_proj and v_proj. */
  static default(): AdapterConfig {
    return new AdapterConfig();
  }

  /** Rank 4: trains faster, takes less. */
  static lowRank(): AdapterConfig {
    return new AdapterConfig({ rank: 4 });
  }

  /** Rank 16: learns more, takes more. */
  static highRank(): AdapterConfig {
    return new AdapterConfig({ rank: 16 });
  }

  with(changes: Partial<AdapterConfigFields>): AdapterConfig {
    return new AdapterConfig({ ...this, ...changes });
  }

  validate(): Result<Unit> {
    return allOf(
      () => positiveInteger('Rank', this.rank, MAX_RANK),
      () => positive('Learning rate', this.learningRate, MAX_LEARNING_RATE),
      () => positiveInteger('Max steps', this.maxSteps, MAX_STEPS),
      () => notBlank('Target modules', this.targetModules),
      () => this.modules().map(() => undefined),
      () => ensure(typeof this.useRSLoRA === 'boolean', 'UseRSLoRA must be true or false'),
    );
  }

  /** The names in targetModules. */
  modules(): Result<LoraModule[]> {
    const names = this.targetModules.split(',').map((name) => name.trim());
    const known: readonly string[] = LORA_MODULES;
    const unknown = names.find((name) => !known.includes(name));
    if (unknown !== undefined) return failure(`Unknown target module: ${unknown} (known: ${LORA_MODULES.join(', ')})`);
    const twice = names.find((name, i) => names.indexOf(name) < i);
    return twice === undefined ? success(names as LoraModule[]) : failure(`Target module given twice: ${twice}`);
  }
}
