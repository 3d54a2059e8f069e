export { S3AdapterStore } from './s3-adapters.js';
export type { S3Options } from './s3-client.js';
export { type S3ListedObject, type S3Object, S3Objects } from './s3-objects.js';
export { S3VersionStore } from './s3-versions.js';
