/** Three little tasks in the words that the model of the repository knows, twenty examples each. */
import { TrainingExample } from '#lorakeet/learning/index.js';

const NAMES =
  'ROMEO JULIET HAMLET OTHELLO LEAR MERCUTIO BENVOLIO PARIS TYBALT NURSE DUKE KING QUEEN CLOWN GREMIO BIANCA LUCIO ANGELO ISABELLA PROVOST'.split(
    ' ',
  );
const THINGS = ['moon', 'crown', 'sword', 'rose', 'night', 'song', 'horse', 'sea', 'ring', 'king'];
const PLACES = ['Rome', 'Padua', 'the garden', 'prison', 'heaven', 'bed', 'the street', 'France', 'the field', 'court'];
const MOODS = ['weary', 'merry', 'afraid', 'in love', 'mad', 'proud', 'sick', 'gentle', 'angry', 'dead'];

export type TaskName = 'loves' | 'where' | 'how';

export const TASKS: Record<TaskName, readonly TrainingExample[]> = {
  loves: tasksOf((name, i) => [`What loves ${name}?\n`, `${name} loves the ${THINGS[(i * 3) % 10]}.`]),
  where: tasksOf((name, i) => [`Where is ${name}?\n`, `He is gone to ${PLACES[(i * 7) % 10]}, my lord.`]),
  how: tasksOf((name, i) => [`How does ${name}?\n`, `Alas, ${MOODS[(i * 7 + 3) % 10]} and alone.`]),
};

function tasksOf(pairOf: (name: string, i: number) => [string, string]): TrainingExample[] {
  return NAMES.map((name, i) => new TrainingExample(...pairOf(name, i)));
}

/** Examples as long as those of the tasks, as many as are wanted. */
export function manyExamples(count: number): TrainingExample[] {
  const all = Object.values(TASKS).flat();
  return Array.from({ length: count }, (_, i) => {
    const { input, output } = all[i % all.length];
    return i < all.length ? all[i] : new TrainingExample(input, `${output} Ay, ${PLACES[i % 10]}.`);
  });
}
