/** The program that starts a model server anew, where the configuration names one. */
import { execFile } from 'node:child_process';
import { LorakeetError } from '../../errors.js';

const MAX_OUTPUT_CHARS = 200;
const MAX_RUN_MS = 3_600_000;

/** Runs it without a shell; resolves when it has ended well. Rejects with ERR_SERVING_UNAVAILABLE. */
export function runRestartCommand(program: string, url: string, files: readonly string[]): Promise<void> {
  return new Promise((done, refuse) => {
    execFile(program, [url, ...files], { timeout: MAX_RUN_MS, windowsHide: true }, (error, _, stderr) => {
      if (!error) return done();
      const text = stderr.trim().slice(-MAX_OUTPUT_CHARS) || error.message;
      refuse(new LorakeetError('ERR_SERVING_UNAVAILABLE', `serving.restartCommand: ${text}`, { cause: error }));
    });
  });
}
