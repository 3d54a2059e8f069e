export { S3AdapterStore } from './s3-adapters.js';
export { type S3Object, S3Objects, type S3Options } from './s3-objects.js';
