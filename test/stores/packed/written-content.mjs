/** The bytes that call NUMBER saves: up to 3,000, told from those of any other call by the first four. */
export function contentOf(number) {
  const bytes = new Uint8Array(4 + ((number * 2_654_435_761) % 3000)).fill(number & 0xff);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return bytes;
}
