/** Skills: what many similar episodes have taught, kept when the episodes themselves are gone. */
import { mergeSums, type Outcome, type Sums, sumsOf } from './evidence.js';
import { mergeProofs, type UserProof } from './proven-users.js';
import { type Arm, armOf, type Settings } from './settings.js';
import { placeOf } from './situation.js';

/** Settings that have proved themselves in one kind of situation. */
export interface Skill {
  id: number;
  /** One sentence for people */
  description: string;
  learningRate: number;
  /** Number.MAX_VALUE: no clipping */
  clipThreshold: number;
  ewcLambda: number;
  /** Episodes with these settings in the situation when the skill was last learnt */
  uses: number;
  /** Share of them that were successes, 0 … 1 */
  successRate: number;
}

/** What a skill has taken over from its episodes. */
export interface SkillEvidence {
  bucket: string;
  /** All outcomes, of other settings too: what its own were compared with */
  sums: Sums[];
  /** Users, the most convincing first, MOST_USERS at most */
  users: UserProof[];
}

/** What the bank keeps in memory of an episode with structured features. */
export interface EpisodeRecord {
  id: number;
  createdAt: number;
  bucket: string;
  /** That the update used */
  settings: Settings;
  success: boolean;
  outcome: Outcome | undefined;
  proof: UserProof | undefined;
  /** The skill that has taken over outcome and proof */
  skill: number | null;
}

/** As many as a warm start looks at. */
const MOST_USERS = 256;

export interface ConsolidationRule {
  minUses: number;
  minSuccessRate: number;
  /** Earlier episodes are left alone. */
  since: number;
}

export interface NewSkill {
  skill: Omit<Skill, 'id'>;
  evidence: SkillEvidence;
  /** Episodes whose outcomes are in the evidence from now on */
  episodes: EpisodeRecord[];
}

/**
 * One skill for every bucket in which some settings have been used often and successfully enough: of those the best, as
 * `bestOf` says, with the most used one first in its list.
 */
export function findSkills(
  records: Iterable<EpisodeRecord>,
  rule: ConsolidationRule,
  earlier: ReadonlyMap<string, SkillEvidence>,
  bestOf: (bucket: string, arms: readonly Arm[]) => Arm,
): NewSkill[] {
  const buckets = new Map<string, EpisodeRecord[]>();
  for (const record of records) {
    if (record.createdAt < rule.since) continue;
    const held = buckets.get(record.bucket);
    if (held) held.push(record);
    else buckets.set(record.bucket, [record]);
  }
  return [...buckets].flatMap(([bucket, episodes]) => {
    const proved = provedArms(episodes, rule);
    if (proved.length === 0) return [];
    const arm = bestOf(
      bucket,
      proved.map((group) => group.arm),
    );
    const { settings, uses, successRate } = proved.find((group) => group.arm === arm) as ArmUse;
    const fresh = episodes.filter(({ skill }) => skill === null);
    const outcomes = fresh.flatMap(({ outcome }) => (outcome ? [sumsOf(outcome)] : []));
    const sums = mergeSums([...(earlier.get(bucket)?.sums ?? []), ...outcomes]);
    const proofs = fresh.flatMap(({ proof }) => proof ?? []);
    const users = mergeProofs([...(earlier.get(bucket)?.users ?? []), ...proofs]).slice(0, MOST_USERS);
    const skill = { ...settings, uses, successRate };
    return [
      {
        skill: { ...skill, description: describeSkill(bucket, skill) },
        evidence: { bucket, sums, users },
        episodes: fresh,
      },
    ];
  });
}

interface ArmUse {
  arm: Arm;
  /** Of the latest episode */
  settings: Settings;
  uses: number;
  successRate: number;
}

/** Arms that satisfy the rule, the most used first. */
function provedArms(episodes: readonly EpisodeRecord[], { minUses, minSuccessRate }: ConsolidationRule): ArmUse[] {
  const counts = new Map<Arm, { settings: Settings; uses: number; successes: number }>();
  for (const { settings, success } of episodes) {
    const arm = armOf(settings);
    const count = counts.get(arm) ?? { settings, uses: 0, successes: 0 };
    counts.set(arm, count);
    count.settings = settings;
    count.uses += 1;
    if (success) count.successes += 1;
  }
  return [...counts]
    .map(([arm, { settings, uses, successes }]) => ({ arm, settings, uses, successRate: successes / uses }))
    .filter(({ uses, successRate }) => uses >= minUses && successRate >= minSuccessRate)
    .sort((a, b) => b.uses - a.uses);
}

function describeSkill(bucket: string, skill: Pick<Skill, 'learningRate' | 'uses' | 'successRate'>): string {
  const { optimizer, indices } = placeOf(bucket);
  const [dimension, rank, batch] = indices.map((index) => 2 ** index);
  const where = `${optimizer}, about ${dimension} features, rank ${rank}, ${batch} rows a batch`;
  const share = Math.round(100 * skill.successRate);
  return `${where}: a learning rate of ${skill.learningRate} (${skill.uses} updates, ${share} % successes)`;
}
