export function contentOf(number: number): Uint8Array;
