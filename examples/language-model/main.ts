/** `node build/examples/language-model/main.js [FOLDER]`: the sailor's adapter goes to FOLDER, as a PEFT folder. */
import { runVoices } from './voices.js';

const controller = new AbortController();
process.once('SIGINT', () => controller.abort());

const output = process.argv[2] ?? 'sailor';
const result = await runVoices({
  model: 'models/tiny-shakespeare-llama',
  output,
  signal: controller.signal,
  onProgress: (what) => console.log(what),
});
const { plain, sailor } = result.unseenLoss;
console.log(`
the model itself:   ${result.plain}
the sailor:         ${result.sailor}
the gardener:       ${result.gardener}
the sailor again:   ${result.reopened}   (from ${output}/)
loss per token of a line that was not learnt: ${plain.toFixed(2)}, with the sailor's adapter ${sailor.toFixed(2)}`);
