/** One thing that was looked at. */
export interface Check {
  /** Such as package pg. */
  name: string;
  /** ok; missing: the configuration asks for it; note: nothing asks for it, or what asks can do without. */
  status: 'ok' | 'missing' | 'note';
  /** What was found. */
  detail: string;
  /** What to do about it. */
  advice?: string;
}

/** What `look` finds; what it throws is missing. */
export async function probe(name: string, look: () => Promise<string>, advice?: string): Promise<Check> {
  try {
    return { name, status: 'ok', detail: await look() };
  } catch (error) {
    return { name, status: 'missing', detail: (error as Error).message, advice };
  }
}
