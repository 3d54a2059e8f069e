/** Asking again and again: less often while nobody looks, and ever less often while nothing answers. */
const HIDDEN_MS = 60_000;
const LONGEST_MS = 30_000;

export interface Poller {
  /** Asks now; where a request is under way, once more after it. */
  refresh(): void;
}

/** `ask` never rejects and says whether it succeeded; `interval`: ms until the next time. */
export function poll(ask: () => Promise<boolean>, interval: () => number): Poller {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let busy = false;
  let again = false;

  async function run(): Promise<void> {
    clearTimeout(timer);
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    do {
      again = false;
      failures = (await ask()) ? 0 : failures + 1;
    } while (again);
    busy = false;
    timer = setTimeout(run, wait());
  }

  function wait(): number {
    const wanted = failures === 0 ? interval() : Math.min(LONGEST_MS, interval() * 2 ** Math.min(failures, 10));
    return document.hidden ? Math.max(wanted, HIDDEN_MS) : wanted;
  }

  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) void run();
  });
  void run();
  return { refresh: () => void run() };
}
