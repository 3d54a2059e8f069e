/** What time it is, and being called later; tests have one of their own, so that they need not wait. */
export interface Clock {
  /** ms since 1970. */
  now(): number;
  /** Calls once after so many ms, at most 24 days; the answer calls it off. */
  after(ms: number, call: () => void): () => void;
}

export const systemClock: Clock = {
  now: Date.now,
  after(ms, call) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
