/** A mistake that whoever started the job can put right (a flag, a file): shown as one line, without a stack. */
export class UserError extends Error {
  override readonly name = 'UserError';
}
