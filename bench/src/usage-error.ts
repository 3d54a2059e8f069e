/** A mistake of whoever typed the command: shown without a stack, exit code 2. */
export class UsageError extends Error {}
