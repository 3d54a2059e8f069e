/** What the tiny model can learn in a few steps, in the words that it knows. */
import { TrainingExample } from '../../src/learning/training-example.js';

const NAMES = [
  'ROMEO',
  'JULIET',
  'HAMLET',
  'LEAR',
  'PARIS',
  'TYBALT',
  'NURSE',
  'DUKE',
  'KING',
  'QUEEN',
  'CLOWN',
  'GREMIO',
  'BIANCA',
  'LUCIO',
  'ANGELO',
  'PROVOST',
  'WARWICK',
  'CLAUDIO',
  'MONTAGUE',
  'CAPULET',
];
const THINGS = ['a letter', 'the ring', 'his sword', 'some wine', 'the crown', 'a song', 'no gold', 'the news'];
const TIMES = ['at noon', 'too late', 'before day', 'in winter', 'tonight', 'with the sun', 'never', 'on Monday'];

/** Who brings what: twenty examples. */
export const BRINGS = NAMES.map(
  (name, i) => new TrainingExample(`What brings ${name}?\n`, `He brings ${THINGS[(5 * i) % 8]}, good madam.`),
);

/** When somebody comes: twenty examples of another form, with the same names. */
export const COMES = NAMES.map(
  (name, i) => new TrainingExample(`When comes ${name}?\n`, `I heard, sir, ${TIMES[(3 * i + 1) % 8]}.`),
);

/** Ten pairs that have nothing to do with either. */
export const UNRELATED = [
  'O heavy day!',
  'Where is my page?',
  'The rest is silence.',
  'Come, let us go.',
  'I know thee not.',
  'Bid him farewell.',
  'What, ho!',
  'She is my queen.',
  'Draw, if you be men.',
  'God save your grace.',
].map(
  (output, i) => new TrainingExample(`First ${['Citizen', 'Servant', 'Lord', 'Murderer', 'Keeper'][i % 5]}:\n`, output),
);
