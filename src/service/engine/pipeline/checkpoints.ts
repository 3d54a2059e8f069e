/** What a job of training leaves for the attempt after it: facts in the job, and the state of the adapter as a blob. */
import type { CheckpointTarget } from '../../../llm/index.js';
import { readBlob, type VersionStore } from '../../../versions/version-store.js';
import type { Clock } from '../../jobs/clock.js';
import type { Job, Json } from '../../jobs/job.js';
import type { JobContext } from '../../jobs/worker.js';
import type { Curve } from './curve.js';
import type { Importance } from './importance.js';

/** JSON throughout. What is there holds for all attempts of the job. */
export interface TrainingCheckpoint {
  /** When the first attempt began, ISO 8601: windows of feedback end here. */
  begunAt: string;
  /** The version that it starts from; null: a new adapter. */
  startVersion: string | null;
  /** Once the training has begun. */
  training?: {
    /** Of the trainer's checkpoint, in the store of versions. */
    blob: string;
    step: number;
    curve: Curve;
    importance: Importance;
  };
  /** Blobs of earlier checkpoints that may still be there. */
  superseded: string[];
}

/** Whenever it was put. */
const ALWAYS = new Date(Date.UTC(9999, 0));

/** Longer than a worker keeps a job of which it cannot tell: until then the queue may still have the checkpoint before. */
const SPARED_MS = 120_000;

export class Checkpoints {
  readonly #store: VersionStore;
  readonly #context: JobContext;
  readonly #clock: Clock;
  readonly #everyMs: number;
  #state: TrainingCheckpoint;
  #savedAt: number;
  /** When each superseded blob became that, by this attempt. */
  readonly #supersededAt = new Map<string, number>();

  constructor(
    job: Job,
    context: JobContext,
    parts: { versionStore: VersionStore; clock: Clock },
    first: { startVersion: string | null },
    everyMs: number,
  ) {
    this.#store = parts.versionStore;
    this.#context = context;
    this.#clock = parts.clock;
    this.#everyMs = everyMs;
    this.#savedAt = parts.clock.now();
    const begunAt = new Date(parts.clock.now()).toISOString();
    this.#state = (job.checkpoint as unknown as TrainingCheckpoint | undefined) ?? {
      begunAt,
      ...first,
      superseded: [],
    };
    this.#tell();
  }

  get state(): Readonly<TrainingCheckpoint> {
    return this.#state;
  }

  /** The trainer's checkpoint of an earlier attempt. undefined where there is none, or it is lost or damaged. */
  async trained(): Promise<Uint8Array | undefined> {
    const { training } = this.#state;
    return training && readBlob(this.#store, 'the checkpoint', training.blob).catch(() => undefined);
  }

  /** Begins the training anew: what there is was made from other examples, or is lost. */
  forget(): void {
    this.#supersede();
    const { training: _, ...rest } = this.#state;
    this.#state = rest;
    this.#tell();
  }

  /**
   * Saved when this much time has gone, when the worker stops, and where `isDue` says so. `facts` belong to the state after
   * the step.
   */
  target(
    isDue: (step: number) => boolean,
    facts: (step: number) => { curve: Curve; importance: Importance },
  ): CheckpointTarget {
    const { signal } = this.#context;
    return {
      isDue: (step) => {
        if (this.#state.training?.step === step) return false;
        if (signal.aborted) return (signal.reason as { code?: string } | undefined)?.code === 'ERR_CLOSED';
        return isDue(step) || (step > 0 && this.#clock.now() - this.#savedAt >= this.#everyMs);
      },
      save: async (bytes, step) => {
        const blob = await this.#store.putBlob(bytes);
        this.#supersede();
        const superseded = this.#state.superseded.filter((one) => one !== blob);
        this.#state = { ...this.#state, superseded, training: { blob, step, ...facts(step) } };
        this.#savedAt = this.#clock.now();
        this.#tell();
        await this.#collect(this.#savedAt - SPARED_MS);
      },
    };
  }

  /** Nobody will go on from them any more. */
  async removeAll(): Promise<void> {
    this.#supersede();
    for (const blob of this.#state.superseded) await this.#delete(blob);
  }

  /** Those that became superseded before. */
  async #collect(before: number): Promise<void> {
    const old = this.#state.superseded.filter((blob) => (this.#supersededAt.get(blob) ?? 0) <= before);
    if (old.length === 0) return;
    for (const blob of old) await this.#delete(blob);
    this.#state = { ...this.#state, superseded: this.#state.superseded.filter((blob) => !old.includes(blob)) };
    this.#tell();
  }

  /** What remains because of a failure is collected with the garbage of the store. */
  async #delete(blob: string): Promise<void> {
    await this.#store.deleteBlob(blob, ALWAYS).catch(() => {});
  }

  #supersede(): void {
    const { training, superseded } = this.#state;
    if (!training || superseded.includes(training.blob)) return;
    this.#supersededAt.set(training.blob, this.#clock.now());
    this.#state = { ...this.#state, superseded: [...superseded, training.blob] };
  }

  #tell(): void {
    this.#context.checkpoint(this.#state as unknown as Json);
  }
}
