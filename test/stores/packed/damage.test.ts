/** Files that are not as they were written: what was cut short is cut off, anything else is an error that names the place. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import { BATCH_HEADER_BYTES, encodeBatch, SEGMENT_HEADER_BYTES } from '../../../src/stores/packed/format.js';
import { PackedAdapterStore } from '../../../src/stores/packed.js';
import { coded } from '../../personalization/samples.js';
import { useFolders } from './folders.js';

const newFolder = useFolders();
const FIRST = '00000001.segment';
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text));

/** A store's folder with one segment of three batches, its bytes, and where each batch ends. */
async function threeBatches() {
  const folder = newFolder();
  const store = await PackedAdapterStore.open(folder);
  const ends = [store.stats().sizeBytes];
  await store.save([
    { id: 'anna', bytes: bytesOf('first') },
    { id: 'ben', bytes: bytesOf('the same for ever') },
  ]);
  ends.push(store.stats().sizeBytes);
  await store.save([{ id: 'anna', bytes: bytesOf('second') }]);
  ends.push(store.stats().sizeBytes);
  await store.delete(['ben']);
  ends.push(store.stats().sizeBytes);
  await store.close();
  return { folder, bytes: readFileSync(join(folder, FIRST)), ends };
}

/** What 'anna' and 'ben' have after so many batches. */
const AFTER = [
  [undefined, undefined],
  ['first', 'the same for ever'],
  ['second', 'the same for ever'],
  ['second', undefined],
];

async function read(folder: string): Promise<(string | undefined)[]> {
  const store = await PackedAdapterStore.open(folder);
  try {
    const found = await store.load(['anna', 'ben']);
    return found.map((bytes) => bytes && Buffer.from(bytes).toString());
  } finally {
    await store.close();
  }
}

describe('a file that ends too early', () => {
  it('keeps the batches that are whole, wherever it ends, and takes new ones', async () => {
    const { folder, bytes, ends } = await threeBatches();
    for (let length = 0; length <= bytes.length; length++) {
      writeFileSync(join(folder, FIRST), bytes.subarray(0, length));
      const whole = ends.filter((end, i) => i > 0 && end <= length).length;
      expect(await read(folder), `${length} bytes`).toEqual(AFTER[whole]);
      expect(statSync(join(folder, FIRST)).size).toBe(ends[whole]);
    }
    writeFileSync(join(folder, FIRST), bytes.subarray(0, ends[1] + 60));
    const store = await PackedAdapterStore.open(folder);
    await store.save([{ id: 'ben', bytes: bytesOf('new') }]);
    await store.close();
    expect(await read(folder)).toEqual(['first', 'new']);
  });

  it('may have its length and zeros in the place of what was to be written', async () => {
    const { folder, bytes, ends } = await threeBatches();
    const withZeros = Buffer.concat([bytes.subarray(0, ends[2]), new Uint8Array(3_000_000)]);
    writeFileSync(join(folder, FIRST), withZeros);
    expect(await read(folder)).toEqual(AFTER[2]);
    expect(statSync(join(folder, FIRST)).size).toBe(ends[2]);
    writeFileSync(join(folder, FIRST), new Uint8Array(SEGMENT_HEADER_BYTES));
    expect(await read(folder)).toEqual(AFTER[0]);
    withZeros[withZeros.length - 1] = 1;
    writeFileSync(join(folder, FIRST), withZeros);
    await expect(read(folder)).rejects.toEqual(coded('ERR_STORE_CORRUPT', `${FIRST}: damaged at offset ${ends[2]}`));
  });

  it('is no accident if it is not the last one', async () => {
    const { folder, bytes, ends } = await threeBatches();
    const store = await PackedAdapterStore.open(folder, { segmentBytes: 4096 });
    await store.save([{ id: 'carl', bytes: new Uint8Array(5000) }]);
    await store.close();
    expect(readdirSync(folder)).toContain('00000002.segment');
    expect(await read(folder)).toEqual(AFTER[3]);
    for (const length of [0, SEGMENT_HEADER_BYTES - 1, ends[2] + 8, ends[3] - 1]) {
      writeFileSync(join(folder, FIRST), bytes.subarray(0, length));
      await expect(read(folder), `${length} bytes`).rejects.toEqual(coded('ERR_STORE_CORRUPT', FIRST));
    }
  });
});

describe('a file that was changed', () => {
  it('is never read as anything but what was written, whichever bit is flipped', async () => {
    const { folder, bytes } = await threeBatches();
    let harmless = 0;
    for (let bit = 0; bit < 8 * bytes.length; bit += 7) {
      const flipped = Uint8Array.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(join(folder, FIRST), flipped);
      const outcome = await read(folder).catch((error) => error);
      if (Array.isArray(outcome)) {
        // the content of what was replaced, or what fills the room to the next multiple of 8
        expect(outcome, `bit ${bit}`).toEqual(AFTER[3]);
        harmless += 1;
      } else {
        expect(outcome, `bit ${bit}`).toEqual(coded('ERR_STORE_CORRUPT', `${FIRST}: damaged at offset `));
        // and is left as it is, for whoever wants to save something from it
        expect(Buffer.compare(readFileSync(join(folder, FIRST)), flipped)).toBe(0);
      }
    }
    expect(harmless).toBeLessThan((8 * 40) / 7 + 5);
  });

  it('fails the calls that need the damaged record alone, and is not compacted away', async () => {
    const folder = newFolder();
    const options = { segmentBytes: 4096, logger: silentLogger };
    let store = await PackedAdapterStore.open(folder, options);
    await store.save([1, 2, 3].map((i) => ({ id: `user-${i}`, bytes: new Uint8Array(1000).fill(i) })));
    await store.save([{ id: 'next', bytes: new Uint8Array(3000) }]);
    await store.close();
    const file = readFileSync(join(folder, FIRST));
    const position = file.indexOf(Buffer.alloc(1000, 2));
    file[position + 500] ^= 1;
    writeFileSync(join(folder, FIRST), file);

    store = await PackedAdapterStore.open(folder, options);
    const where = coded('ERR_STORE_CORRUPT', `${join(folder, FIRST)}: damaged at offset ${position}`);
    await expect(store.load(['user-1', 'user-2'])).rejects.toEqual(where);
    expect(await store.load(['user-1', 'user-3'])).toEqual([
      new Uint8Array(1000).fill(1),
      new Uint8Array(1000).fill(3),
    ]);
    const all = async () => {
      for await (const _ of store.entries());
    };
    await expect(all()).rejects.toEqual(where);
    await store.delete(['user-1']);
    await expect(store.compact()).rejects.toEqual(where);
    await store.save([{ id: 'user-3', bytes: new Uint8Array(1000) }]);
    await expect(store.load(['user-2'])).rejects.toEqual(where);
    // whoever gives it up is rid of it
    await store.delete(['user-2']);
    await store.compact();
    expect(readdirSync(folder)).not.toContain(FIRST);
    expect(await store.load(['user-1', 'user-2', 'user-3'])).toEqual([undefined, undefined, new Uint8Array(1000)]);
    await store.close();
  });

  it('is not taken for another segment, nor a batch for one of another place', async () => {
    const { folder, bytes, ends } = await threeBatches();
    copyFileSync(join(folder, FIRST), join(folder, '00000002.segment'));
    await expect(read(folder)).rejects.toEqual(coded('ERR_STORE_CORRUPT', 'it says that it is segment 1'));
    renameSync(join(folder, '00000002.segment'), join(folder, 'copy of 00000001.segment'));
    expect(await read(folder)).toEqual(AFTER[3]);
    writeFileSync(join(folder, FIRST), Buffer.concat([bytes, bytes.subarray(ends[0], ends[1])]));
    await expect(read(folder)).rejects.toEqual(coded('ERR_STORE_CORRUPT', `offset ${ends[3]}: no batch`));
  });

  it('is refused for a format that this version does not know', async () => {
    const { folder, bytes } = await threeBatches();
    const newer = Uint8Array.from(bytes);
    newer[8] = 2;
    new DataView(newer.buffer).setUint32(24, crc32(newer.subarray(0, 24)), true);
    writeFileSync(join(folder, FIRST), newer);
    await expect(read(folder)).rejects.toEqual(coded('ERR_STORE_CORRUPT', 'version 2, expected 1'));
  });

  it('is refused if it is a folder', async () => {
    const { folder } = await threeBatches();
    mkdirSync(join(folder, '00000002.segment'));
    await expect(read(folder)).rejects.toEqual(coded('ERR_FILE_ACCESS'));
  });
});

/** A batch whose table somebody has made up, with checksums that fit. */
function forge(change: (table: DataView, header: DataView) => void): Uint8Array {
  const records = [{ id: 'anna', bytes: bytesOf('12345678') }, { id: 'ben' }];
  const { parts } = encodeBatch(1, SEGMENT_HEADER_BYTES, records);
  const bytes = Buffer.concat(parts);
  const header = new DataView(bytes.buffer, bytes.byteOffset, BATCH_HEADER_BYTES);
  const tableBytes = header.getUint32(28, true);
  change(new DataView(bytes.buffer, bytes.byteOffset + BATCH_HEADER_BYTES, tableBytes), header);
  const table = bytes.subarray(BATCH_HEADER_BYTES, BATCH_HEADER_BYTES + tableBytes);
  header.setUint32(40, crc32(table), true);
  header.setUint32(4, crc32(bytes.subarray(8, BATCH_HEADER_BYTES)), true);
  return bytes;
}

describe('a table that was made up', () => {
  const open = async (batch: Uint8Array) => {
    const folder = newFolder();
    await (await PackedAdapterStore.open(folder)).close();
    writeFileSync(join(folder, FIRST), Buffer.concat([readFileSync(join(folder, FIRST)), batch]));
    return read(folder);
  };

  it('is read if it is right', async () => {
    expect(await open(forge(() => {}))).toEqual(['12345678', undefined]);
  });

  it.each<[string, (table: DataView, header: DataView) => void]>([
    ['a record longer than the payload', (table) => table.setUint32(0, 2 ** 31, true)],
    ['a record shorter than the payload', (table) => table.setUint32(0, 0, true)],
    ['an id without bytes', (table) => table.setUint32(8, 0, true)],
    ['an id beyond the table', (table) => table.setUint32(20, 2 ** 31, true)],
    ['an id that is no text', (table) => table.setUint8(24, 0xff)],
    ['more records than it has room for', (_, header) => header.setUint32(24, 2 ** 30, true)],
    ['fewer records than it has', (_, header) => header.setUint32(24, 1, true)],
    ['a table shorter than it is', (_, header) => header.setUint32(28, 24, true)],
  ])('is refused with %s', async (_, change) => {
    await expect(open(forge(change))).rejects.toEqual(coded('ERR_STORE_CORRUPT', `offset ${SEGMENT_HEADER_BYTES}`));
  });

  it.each<[string, (table: DataView, header: DataView) => void]>([
    ['a table longer than the file', (_, header) => header.setUint32(28, 2 ** 32 - 8, true)],
    ['a payload longer than any file', (_, header) => header.setBigUint64(32, 2n ** 52n, true)],
  ])('is cut off like an unfinished one with %s', async (_, change) => {
    expect(await open(forge(change))).toEqual(AFTER[0]);
  });
});
