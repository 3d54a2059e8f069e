export { FileVersionStore } from './file-versions.js';
