/** Finding phrases in text as a reader would: whole words, whatever the case, the spacing and the kind of apostrophe. */

const APOSTROPHES = /[\u2018\u2019\u201b\u02bc\u2032\u00b4`]/g;
const QUOTES = /[\u201c\u201d\u201e\u201f\u00ab\u00bb]/g;
const WORD = /[\p{L}\p{N}\p{M}_]/u;
/** Scripts that are written without spaces between words: any place in them may be the edge of one. */
const UNSPACED_SCRIPTS =
  '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}';
const UNSPACED = new RegExp(`[${UNSPACED_SCRIPTS}]`, 'u');
// Intl.Segmenter takes time quadratic in the length of the text
const WORDS = new RegExp(`[${UNSPACED_SCRIPTS}]|[^\\s${UNSPACED_SCRIPTS}]+`, 'gu');

/** In the form that phrases are compared in. */
export function normalizeText(text: string): string {
  return text
    .replace(APOSTROPHES, "'")
    .replace(QUOTES, '"')
    .normalize('NFKC')
    .replace(/\p{Cf}/gu, '')
    .toLowerCase()
    .replace(/\s+/g, ' ')
    .trim();
}

/** Whether the phrase stands in the text as whole words. Both are normalized, the phrase not empty. */
export function containsPhrase(text: string, phrase: string): boolean {
  return !placesOf(text, phrase).next().done;
}

/** The text with a full stop in place of each of the phrases. All are normalized. */
export function withoutPhrases(text: string, phrases: readonly string[]): string {
  return phrases.reduce((rest, phrase) => {
    let kept = '';
    let from = 0;
    for (const at of placesOf(rest, phrase)) {
      if (at < from) continue;
      kept += `${rest.slice(from, at)}.`;
      from = at + phrase.length;
    }
    return kept + rest.slice(from);
  }, text);
}

/** What stands between spaces and is not punctuation alone; in scripts without spaces each character is a word. */
export function countWords(text: string): number {
  let words = 0;
  for (const [word] of text.matchAll(WORDS)) if (WORD.test(word)) words++;
  return words;
}

function* placesOf(text: string, phrase: string): Generator<number, void> {
  for (let at = text.indexOf(phrase); at >= 0; at = text.indexOf(phrase, at + 1)) {
    const end = at + phrase.length;
    if (isEdge(lastOf(text.slice(Math.max(0, at - 2), at)), firstOf(phrase))) {
      if (isEdge(lastOf(phrase.slice(-2)), firstOf(text.slice(end, end + 2)))) yield at;
    }
  }
}

/** Whether a word may end between two characters that stand side by side; '' is the end of the text. */
function isEdge(before: string, after: string): boolean {
  return !(WORD.test(before) && WORD.test(after)) || UNSPACED.test(before) || UNSPACED.test(after);
}

const firstOf = (text: string): string => Array.from(text)[0] ?? '';
const lastOf = (text: string): string => Array.from(text).at(-1) ?? '';
