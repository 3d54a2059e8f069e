import { describe, expect, it } from 'vitest';
import { AdapterConfig } from '../../src/learning/adapter-config.js';
import { newAdapterId } from '../../src/learning/adapter-id.js';
import { AdapterMetadata } from '../../src/learning/adapter-metadata.js';
import { decodeMetadata, encodeMetadata } from '../../src/learning/metadata-json.js';
import { failure } from '../../src/learning/result.js';

const id = newAdapterId();
const fresh = AdapterMetadata.create(id, 'task "1"\0 é😀', AdapterConfig.highRank(), 'a.bin', 'hash');
const trained = fresh
  .with({ parents: [newAdapterId(), newAdapterId()], mergeStrategy: 'taskArithmetic' })
  .withTraining(3, { blobStoragePath: 'b.bin', memoryStoragePath: 'm.bin' }, 0.25)
  .withTraining(4, { blobStoragePath: 'c.bin' });

describe('metadata as JSON', () => {
  it.each([
    ['new', fresh],
    ['trained', trained],
    ['gone back', trained.withVersion(trained.history[1])],
    ['with a score of 0', fresh.with({ performanceScore: 0 })],
  ])('comes back: %s', (_, metadata) => {
    const text = encodeMetadata(metadata).value;
    const again = decodeMetadata(text).value;
    expect(again).toEqual(metadata);
    expect(again).toBeInstanceOf(AdapterMetadata);
    expect(again.createdAt).toBeInstanceOf(Date);
    expect(again.config.validate().isSuccess).toBe(true);
    expect(encodeMetadata(again).value).toBe(encodeMetadata(decodeMetadata(text).value).value);
  });

  it('has dates in ISO 8601', () => {
    const text = encodeMetadata(fresh.with({ createdAt: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 6)) })).value;
    expect(JSON.parse(text).createdAt).toBe('2026-01-02T03:04:05.006Z');
  });

  it('takes ids in upper case for the same', () => {
    const text = encodeMetadata(fresh).value.replace(id, id.toUpperCase());
    expect(decodeMetadata(text).value.id).toBe(id);
  });

  it('tells what is no JSON', () => {
    for (const text of ['', '{', 'undefined', '{"id":}']) {
      expect(decodeMetadata(text)).toEqual(failure('Metadata is damaged: not JSON'));
    }
    for (const text of ['null', '7', '"text"', 'true']) {
      expect(decodeMetadata(text)).toEqual(failure('Metadata is damaged: not an object'));
    }
    expect(decodeMetadata('[]')).toEqual(failure('Metadata is damaged: id'));
  });

  const whole = JSON.parse(encodeMetadata(trained).value);
  const bad: Record<string, unknown[]> = {
    id: ['', 'x', 7, null, `${id}0`],
    taskName: [7, null, ['x']],
    baseModel: [7, null],
    createdAt: ['', 'yesterday', 7, null],
    config: [null, 7, 'config', { rank: 0 }, { rank: '8' }, { targetModules: 'nothing' }, { learningRate: null }],
    version: [-1, 1.5, '1', null, 2 ** 60],
    blobStoragePath: ['', 7, null],
    memoryStoragePath: ['', 7, null],
    lastTrainedAt: ['', 7, null],
    trainingExampleCount: [-1, 0.5, '3', null],
    performanceScore: ['0.5', null, true],
    history: [null, {}, [null], ['version']],
    parents: [null, 'x', ['x'], [7]],
    mergeStrategy: ['', 'Ties', 7, null],
  };
  it.each(Object.keys(bad))('names the field that is damaged: %s', (field) => {
    for (const value of bad[field]) {
      const text = JSON.stringify({ ...whole, [field]: value });
      expect(decodeMetadata(text), text).toEqual(failure(`Metadata is damaged: ${field}`));
    }
  });

  it('misses every field but those that may be missing', () => {
    const optional = ['memoryStoragePath', 'performanceScore', 'parents', 'mergeStrategy'];
    for (const field of Object.keys(whole)) {
      const decoded = decodeMetadata(JSON.stringify({ ...whole, [field]: undefined }));
      expect(decoded.isSuccess, field).toBe(optional.includes(field));
    }
  });

  it('names the version of the history that is damaged', () => {
    for (const [i, field] of [
      [0, 'version'],
      [1, 'lastTrainedAt'],
    ] as const) {
      const history = whole.history.with(i, { ...whole.history[i], [field]: 'x' });
      const decoded = decodeMetadata(JSON.stringify({ ...whole, history }));
      expect(decoded).toEqual(failure(`Metadata is damaged: history[${i}].${field}`));
    }
  });

  it('refuses to write what it could not read', () => {
    expect(encodeMetadata(null as never)).toEqual(failure('Metadata cannot be null'));
    for (const [field, value] of [
      ['performanceScore', Number.NaN],
      ['performanceScore', Number.POSITIVE_INFINITY],
      ['createdAt', new Date(Number.NaN)],
      ['version', 1.5],
      ['config', AdapterConfig.default().with({ rank: 0 })],
    ] as const) {
      expect(encodeMetadata(fresh.with({ [field]: value }))).toEqual(failure(`Metadata is damaged: ${field}`));
    }
  });
});
