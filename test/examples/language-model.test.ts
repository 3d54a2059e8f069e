import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runVoices } from '../../examples/language-model/voices.js';
import { selectDecoder } from '../../src/llm/decoder/select.js';
import { root } from '../support/imports.js';

const folder = mkdtempSync(join(tmpdir(), 'lorakeet-voices-'));
afterAll(() => rmSync(folder, { recursive: true }));
const options = { model: join(root, 'models/tiny-shakespeare-llama'), output: join(folder, 'sailor') };
const slow = selectDecoder().backend.name === 'js';

describe.skipIf(slow)(
  `two voices on one model${slow ? ' (skipped: the JavaScript decoder is slow at it)' : ''}`,
  () => {
    it('are learnt, chosen by request, and carried by a PEFT folder', async () => {
      const progress: string[] = [];
      const result = await runVoices({ ...options, onProgress: (what) => progress.push(what) });
      expect(progress).toHaveLength(32);
      expect(result.sailor).toMatch(/^The .*, my lads, and /);
      expect(result.gardener).toMatch(/^A .*, good sir, must have /);
      expect(result.plain).not.toMatch(/my lads|good sir/);
      expect(result.reopened).toBe(result.sailor);
      expect(result.unseenLoss.sailor).toBeLessThan(0.7 * result.unseenLoss.plain);
    });

    it('can be aborted', async () => {
      const controller = new AbortController();
      const running = runVoices({ ...options, signal: controller.signal, onProgress: () => controller.abort() });
      await expect(running).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    });
  },
);
