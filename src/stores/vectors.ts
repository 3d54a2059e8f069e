export { MemoryVectors } from '../vectors/memory-vectors.js';
export type {
  CollectionShape,
  Condition,
  Metadata,
  MetadataValue,
  Metric,
  VectorCollection,
  VectorFilter,
  VectorHit,
  VectorQuery,
  VectorRecord,
} from '../vectors/vector-collection.js';
