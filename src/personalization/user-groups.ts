/** Rows of many users → the same rows user by user (CSR). */
import type { Rows } from '../kernels/contract.js';

/** Users in the order in which they first appear, each one's rows in the order in which they came. */
export interface UserGroups {
  /** [users], distinct */
  userIds: string[];
  /** [users + 1] */
  rowOffsets: Uint32Array;
  /** [rows] The place among the grouped rows that row i goes to; absent when every row stays where it is. */
  places?: Uint32Array;
}

export function groupByUser(rowUsers: readonly string[]): UserGroups {
  return groupTogether(rowUsers) ?? groupScattered(rowUsers);
}

/** The usual case: the rows of every user stand together already; undefined if they do not. */
function groupTogether(rowUsers: readonly string[]): UserGroups | undefined {
  const users = new Set<string>();
  const offsets: number[] = [];
  for (let row = 0; row < rowUsers.length; row++) {
    const userId = rowUsers[row];
    if (row > 0 && userId === rowUsers[row - 1]) continue;
    users.add(userId);
    offsets.push(row);
    if (users.size < offsets.length) return undefined;
  }
  offsets.push(rowUsers.length);
  return { userIds: [...users], rowOffsets: new Uint32Array(offsets) };
}

function groupScattered(rowUsers: readonly string[]): UserGroups {
  const groupOf = new Map<string, number>();
  const counts: number[] = [];
  const places = new Uint32Array(rowUsers.length);
  for (let row = 0; row < rowUsers.length; row++) {
    let group = groupOf.get(rowUsers[row]);
    if (group === undefined) {
      group = counts.length;
      groupOf.set(rowUsers[row], group);
      counts.push(0);
    }
    counts[group] += 1;
    places[row] = group;
  }
  const rowOffsets = new Uint32Array(counts.length + 1);
  for (let group = 0; group < counts.length; group++) rowOffsets[group + 1] = rowOffsets[group] + counts[group];
  const next = rowOffsets.slice();
  for (let row = 0; row < places.length; row++) places[row] = next[places[row]]++;
  return { userIds: [...groupOf.keys()], rowOffsets, places };
}

/** What users were shown. */
export interface UserContent {
  /** [users], distinct */
  userIds: readonly string[];
  /** [users + 1] */
  rowOffsets: Uint32Array;
  x: Rows;
}

/** Only the users of whom `isKept` is true, and their rows. */
export function keepUsers(content: UserContent, isKept: (userId: string) => boolean): UserContent {
  const { userIds, rowOffsets, x } = content;
  const kept = userIds.flatMap((userId, user) => (isKept(userId) ? [user] : []));
  if (kept.length === userIds.length) return content;
  const width = x.length / rowOffsets[userIds.length];
  const offsets = new Uint32Array(kept.length + 1);
  kept.forEach((user, i) => {
    offsets[i + 1] = offsets[i] + rowOffsets[user + 1] - rowOffsets[user];
  });
  const length = offsets[kept.length] * width;
  const rows = x instanceof Float32Array ? new Float32Array(length) : new Uint32Array(length);
  kept.forEach((user, i) => {
    rows.set(x.subarray(rowOffsets[user] * width, rowOffsets[user + 1] * width), offsets[i] * width);
  });
  return { userIds: kept.map((user) => userIds[user]), rowOffsets: offsets, x: rows };
}
