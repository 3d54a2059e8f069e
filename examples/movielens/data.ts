/** Reading ratings.csv strictly, and splitting its users. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from './user-error.js';

export interface Rating {
  user: number;
  movie: number;
  /** 0.5 … 5 stars */
  rating: number;
  /** Unix time in seconds */
  time: number;
}

export interface RatingsFile {
  /** In the order of the file. */
  ratings: Rating[];
  /** Of the file's bytes: the same ratings or not. */
  sha256: string;
}

const HEADER = 'userId,movieId,rating,timestamp';
const MAX_ID = 2 ** 31 - 1;

/** Reads FOLDER/ratings.csv; throws a UserError with the line number for anything that is not a rating. */
export function readRatings(folder: string): RatingsFile {
  const path = join(folder, 'ratings.csv');
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UserError(`cannot read the ratings: ${(error as Error).message}`);
  }
  const lines = bytes.toString('utf8').split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines[0] !== HEADER) throw new UserError(`${path}, line 1: expected the header ${HEADER}`);
  const seen = new Set<string>();
  const ratings = lines.slice(1).map((line, i) => {
    const where = `${path}, line ${i + 2}`;
    const rating = parseRating(line, where);
    const pair = `${rating.user} ${rating.movie}`;
    if (seen.has(pair)) throw new UserError(`${where}: user ${rating.user} rates movie ${rating.movie} a second time`);
    seen.add(pair);
    return rating;
  });
  return { ratings, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function parseRating(line: string, where: string): Rating {
  const fields = line.split(',');
  if (fields.length !== 4) throw new UserError(`${where}: got ${fields.length} fields, expected 4 (${HEADER})`);
  const integer = (name: string, text: string, max: number) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > max)
      throw new UserError(`${where}: ${name} is ${JSON.stringify(text)}, expected a whole number up to ${max}`);
    return value;
  };
  const stars = Number(fields[2]);
  if (!/^\d(\.\d+)?$/.test(fields[2]) || stars < 0.5 || stars > 5) {
    throw new UserError(`${where}: rating is ${JSON.stringify(fields[2])}, expected a number from 0.5 to 5`);
  }
  return {
    user: integer('userId', fields[0], MAX_ID),
    movie: integer('movieId', fields[1], MAX_ID),
    rating: stars,
    time: integer('timestamp', fields[3], Number.MAX_SAFE_INTEGER),
  };
}

/**
 * Whether a user belongs to the background (about 70 %), whose ratings make the item features; the others are replayed.
 * A hash modulo 2³² of id and seed; Math.imul multiplies modulo 2³² exactly.
 */
export function isBackgroundUser(user: number, seed: number): boolean {
  const hash = (Math.imul(user, 2654435761) + Math.imul(seed, Math.imul(40503, 65537))) >>> 0;
  return hash >= 0.3 * 2 ** 32;
}
