import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isBackgroundUser, readRatings } from '../../examples/movielens/data.js';
import { UserError } from '../../examples/movielens/user-error.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-data-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function read(lines: string[], newline = '\n') {
  writeFileSync(join(folder, 'ratings.csv'), lines.join(newline));
  return readRatings(folder).ratings;
}

const HEADER = 'userId,movieId,rating,timestamp';

describe('readRatings', () => {
  test.each(['\n', '\r\n'])('reads the rows in order (line ends %j)', (newline) => {
    expect(read([HEADER, '1,7,4.5,964982703', '2,3,0.5,0', ''], newline)).toEqual([
      { user: 1, movie: 7, rating: 4.5, time: 964982703 },
      { user: 2, movie: 3, rating: 0.5, time: 0 },
    ]);
  });

  test.each([
    ['a field too few', '1,2,3.0', /line 3: got 3 fields, expected 4/],
    ['a field too many', '1,2,3.0,4,5', /line 3: got 5 fields/],
    ['an empty line', '', /line 3: got 1 fields/],
    ['a user that is no number', 'x,2,3.0,4', /line 3: userId is "x"/],
    ['a negative movie', '1,-2,3.0,4', /line 3: movieId is "-2"/],
    ['a user beyond 2^31', '2147483648,2,3.0,4', /line 3: userId is "2147483648"/],
    ['a rating of no stars', '1,2,0,4', /line 3: rating is "0", expected a number from 0.5 to 5/],
    ['a rating of six stars', '1,2,6,4', /line 3: rating is "6"/],
    ['a rating in words', '1,2,four,4', /line 3: rating is "four"/],
    ['an empty rating', '1,2,,4', /line 3: rating is ""/],
    ['a time with a fraction', '1,2,3.0,4.5', /line 3: timestamp is "4.5"/],
    ['the same pair again', '9,9,5.0,9', /line 3: user 9 rates movie 9 a second time/],
  ])('refuses %s, naming the line', (_, line, message) => {
    const attempt = () => read([HEADER, '9,9,4.0,1', line, '5,5,5.0,5']);
    expect(attempt).toThrow(UserError);
    expect(attempt).toThrow(message);
  });

  test('refuses another header', () => {
    expect(() => read(['user,item,rating,time'])).toThrow(
      /line 1: expected the header userId,movieId,rating,timestamp/,
    );
  });

  test('refuses a folder without ratings', () => {
    expect(() => readRatings(folder)).toThrow(UserError);
    expect(() => readRatings(folder)).toThrow(/cannot read the ratings: ENOENT/);
  });
});

describe('isBackgroundUser', () => {
  test('is the hash of the reference, in exact integers', () => {
    for (const seed of [0, 1, 2, 17, 2 ** 32 - 1]) {
      for (const user of [1, 2, 3, 609, 610, 2 ** 31 - 1]) {
        const hash = (BigInt(user) * 2654435761n + BigInt(seed) * 40503n * 65537n) % 2n ** 32n;
        expect(isBackgroundUser(user, seed), `user ${user}, seed ${seed}`).toBe(Number(hash) >= 0.3 * 2 ** 32);
      }
    }
  });
});
