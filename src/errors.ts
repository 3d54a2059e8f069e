/**
 * Every error that lorakeet throws on purpose, in one place.
 *
 * Codes are stable and part of the public API; messages name the argument, its value and what was expected, and may be
 * reworded. docs/errors.md lists the codes, and a test holds that list against this one.
 */
export const ERROR_CODES = {
  ERR_INVALID_CONFIG: 'An option has the wrong type or lies outside its documented range.',
  ERR_INVALID_ARGUMENT: 'An argument has the wrong type or shape.',
  ERR_LENGTH_MISMATCH:
    'An array does not have the length that the other arguments require (a detached array has length 0).',
  ERR_NOT_FINITE: 'A number is NaN or infinite where a finite one is required.',
  ERR_OUT_OF_RANGE: 'A number lies outside its allowed range.',
  ERR_SLOT_OUT_OF_RANGE: 'A slot index is not below the capacity of the pool.',
  ERR_DUPLICATE_SLOT: 'The same slot stands twice in one update or consolidation.',
  ERR_ROW_OFFSETS: 'rowOffsets does not start at 0, does not rise, or does not end at the number of rows.',
  ERR_ITEM_OUT_OF_RANGE: 'A row id is not below the number of items in the bound table.',
  ERR_NO_ITEMS: 'Rows were given as ids, but no item table is bound to the pool.',
  ERR_POOL_CLOSED: 'The pool has been closed.',
  ERR_POOL_FULL: 'The pool has no free slot left for another user.',
  ERR_QUEUE_FULL: 'As much feedback is under way as the service takes, and it was told to refuse more.',
  ERR_SERVICE_CLOSED: 'The service has been closed, or is closing.',
  ERR_STORE_FAILURE: 'A store failed or gave a wrong answer; the cause carries its error.',
  ERR_STORE_TIMEOUT: 'A store did not answer in time.',
  ERR_OUT_OF_MEMORY: 'The backend could not allocate memory; nothing was changed.',
  ERR_BACKEND_UNAVAILABLE: 'The backend asked for by name cannot be used here; the message carries the reason.',
  ERR_BACKEND_FAILURE: 'The backend reported an unexpected failure.',
  ERR_ADAPTER_CORRUPT: 'The bytes are not a well-formed adapter: wrong magic, length, checksum or content.',
  ERR_ADAPTER_VERSION: 'The bytes were written by a newer format version than this library reads.',
  ERR_ADAPTER_MISMATCH: 'An adapter does not have the rank or dimension that the engine is configured for.',
  ERR_FORMAT_CORRUPT: 'A file of a common format (safetensors, PEFT) is not well-formed; the message names the place.',
  ERR_FORMAT_UNSUPPORTED: 'A file or a file format cannot express what is asked of it; the message says what and why.',
  ERR_PATH_NOT_ALLOWED: 'A path is not a plain name below the folder that it must stay in.',
  ERR_FILE_ACCESS: 'A file or folder cannot be opened, read or written; the cause says why.',
  ERR_SQLITE_UNAVAILABLE:
    'Neither this Node nor an installed package provides SQLite; the message says what to install.',
  ERR_STORE_UNAVAILABLE:
    'A store cannot be opened, read or written, or another process holds it; the message says why.',
  ERR_COLLECTION_NOT_FOUND: 'A store of vectors has no such collection, or has lost it.',
  ERR_STORE_CORRUPT: 'A file of a store is damaged; the message names the file and the offset.',
  ERR_BANK_CLOSED: 'The ReasoningBank has been closed.',
  ERR_MERGE_MISMATCH: 'Adapters to be merged do not all have the same modules with the same features.',
  ERR_REASONING_BANK_UNAVAILABLE: 'A ReasoningBank of another package cannot be loaded or made; the message says why.',
  ERR_USER_MISMATCH: 'Feedback of one user was given for the adapter of another.',
  ERR_REASONING_BANK_TIMEOUT: 'A ReasoningBank did not answer in time; what was asked of it goes on without it.',
  ERR_VERSION_NOT_FOUND: 'An adapter has no such version, and no alias of that name points to one.',
  ERR_VERSION_CONFLICT: 'A version number is taken, or an alias does not point where the caller believes it to.',
  ERR_VERSION_QUARANTINED: 'The version was disabled, rolled back from or quarantined; release it first.',
  ERR_VERSION_UNAPPROVED: 'The version is not approved; approve it, or override that with a reason.',
  ERR_VERSION_IN_USE: 'An alias points to the version, so that it can be neither deleted nor quarantined.',
  ERR_NO_ROLLBACK_TARGET:
    'Nothing is active, or there is no version to go back to that is approved and not quarantined.',
  ERR_CLOSED: 'The object has been closed.',
  ERR_JOB_NOT_FOUND: 'There is no job of that id.',
  ERR_JOB_LOST: 'A job does not belong to its worker any more: the lease ended, and another has it or has finished it.',
  ERR_SCHEDULER_UNAVAILABLE: 'The package that reads cron expressions is not installed: npm install croner.',
  ERR_PACKAGE_MISSING: 'An optional package that the service needs here is not installed; the message names it.',
  ERR_INVALID_STATE: 'The call does not fit the present state of the object; the message says what has to come first.',
  ERR_CONTEXT_FULL: 'A sequence of tokens is longer than the model or the cache can hold.',
  ERR_TOKENIZER_UNAVAILABLE:
    'A package that reads tokenizers or chat templates is not installed; the message names it.',
  ERR_ABORTED: 'The caller aborted the operation.',
  ERR_SERVING_UNAVAILABLE: 'A model server cannot be reached, is busy, or did not answer in time.',
  ERR_SERVING_REFUSED: 'A model server answered that it will not do what it was asked; the message carries its words.',
  ERR_SERVING_MISMATCH: 'A model server agreed and does something else, or answers in a form that it should not have.',
  ERR_SERVICE_UNAVAILABLE: 'The learning engine service cannot be reached, is busy, or did not answer in time.',
  ERR_SERVICE_REFUSED:
    'The learning engine service answered with an error that has no code here, or in a form of its own.',
  ERR_ADAPTER_DISABLED: 'The kill switch of the adapter is on; only enabling an explicit version lifts it.',
} as const satisfies Record<`ERR_${string}`, string>;

export type LorakeetErrorCode = keyof typeof ERROR_CODES;

/** The one error class of the package. `code` is stable; `cause` carries the underlying error where there is one. */
export class LorakeetError extends Error {
  readonly code: LorakeetErrorCode;

  constructor(code: LorakeetErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'LorakeetError';
    this.code = code;
  }
}
