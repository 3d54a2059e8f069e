/** How adapters become one; docs/merging.md has the formulas. All of them work on ΔW = scaling · B · A. */

export const MERGE_STRATEGIES = ['average', 'weighted', 'taskArithmetic', 'ties'] as const;

/**
 * - average: the mean of the changes
 * - weighted: the mean by performance scores
 * - taskArithmetic: the sum of the changes
 * - ties: trim, elect sign and merge
 */
export type MergeStrategy = (typeof MERGE_STRATEGIES)[number];
