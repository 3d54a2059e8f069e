import { selectDecoder } from '../../src/llm/decoder/select.js';

/** The JavaScript decoder takes minutes for what the native one does in seconds: tests of much training are not for it. */
export const onlyJavaScript = selectDecoder().backend.name === 'js';
