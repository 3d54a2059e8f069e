/** Advice in words: sentences that people can check and the hint parser reads. */
import type { AdaptationHints, AdaptationSituation } from '../contract.js';
import type { Skill } from './skills.js';
import type { Advice } from './strategy-learner.js';

export function recommendationOf(advice: Advice, situation: AdaptationSituation, skill: Skill | undefined): string {
  const { kind, hints, difference } = advice;
  const updates = Math.round(difference.updates);
  const from = skill ? `, skill ${skill.id} among them` : '';
  if (kind === 'kept') {
    if (updates === 0) return '';
    return `Keep the configured settings: nothing tried in ${updates} similar updates${from} did better.`;
  }
  const settings = namedSettings(hints, situation);
  if (kind === 'trial') return `To be tried, as a neighbour of the best known: ${settings}.`;
  const percent = (100 * difference.gain).toPrecision(2);
  return `${settings}: took away ${percent} % more of the error in ${updates} similar updates${from}.`;
}

function namedSettings(
  hints: AdaptationHints,
  { learningRate, clipThreshold, ewcLambda }: AdaptationSituation,
): string {
  const named: [string, number | undefined, number][] = [
    ['learning rate', hints.suggestedLearningRate, learningRate],
    ['clip threshold', hints.suggestedClipThreshold, clipThreshold],
    ['EWC lambda', hints.suggestedEwcLambda, ewcLambda],
  ];
  return named
    .filter(([, value]) => value !== undefined)
    .map(([name, value, configured]) => `${name}: ${value} (configured ${configured})`)
    .join(', ');
}
