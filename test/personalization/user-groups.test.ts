import { describe, expect, it } from 'vitest';
import { Random } from '../../src/adapter/random.js';
import { groupByUser } from '../../src/personalization/user-groups.js';

/** Rows by user, the plain way. */
function expected(rowUsers: string[]) {
  const rowsOf = new Map<string, number[]>();
  rowUsers.forEach((userId, row) => {
    rowsOf.set(userId, [...(rowsOf.get(userId) ?? []), row]);
  });
  return {
    userIds: [...rowsOf.keys()],
    order: [...rowsOf.values()].flat(),
    counts: [...rowsOf.values()].map((r) => r.length),
  };
}

function check(rowUsers: string[]): void {
  const { userIds, order, counts } = expected(rowUsers);
  const groups = groupByUser(rowUsers);
  expect(groups.userIds).toEqual(userIds);
  expect(Array.from(groups.rowOffsets)).toEqual([
    0,
    ...counts.map((_, u) => counts.slice(0, u + 1).reduce((a, b) => a + b)),
  ]);
  const together = order.every((row, place) => row === place);
  if (together) expect(groups.places).toBeUndefined();
  else expect(order.map((row) => groups.places?.[row])).toEqual(order.map((_, place) => place));
}

describe('groups of rows by user', () => {
  it('stay where they are when every user stands together', () => {
    for (const users of ['', 'a', 'aaa', 'abc', 'aabccc']) check([...users]);
  });

  it('come together when they are scattered', () => {
    for (const users of ['aba', 'abab', 'aabca', 'abca', 'abcabcabc', 'abbba']) check([...users]);
  });

  it('are right for any order', () => {
    const random = new Random([1, 2, 3, 4]);
    for (let round = 0; round < 200; round++) {
      const users = 1 + (random.nextUint32() % 6);
      check(Array.from({ length: random.nextUint32() % 12 }, () => `user-${random.nextUint32() % users}`));
    }
  });
});
