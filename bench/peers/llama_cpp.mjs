// llama.cpp, as node-llama-cpp ships it, as a worker of `npm run bench -- llm`: each line of JSON on standard input is
// answered with one.
//
//   {"kind": "open", "path": …, "threads": …, "sequences": …, "positions": …}
//   {"kind": "generate", "prompts": [[…]], "newTokens": …}
//
//   node bench/peers/llama_cpp.mjs FOLDER      of the package that has node-llama-cpp installed
import { join, resolve } from 'node:path';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const entry = join(resolve(process.argv[2]), 'node_modules', 'node-llama-cpp', 'dist', 'index.js');
const { getLlama } = await import(pathToFileURL(entry).href);
let sequences = [];

async function open({ path, threads, sequences: count, positions }) {
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
  const model = await llama.loadModel({ modelPath: path });
  const size = { contextSize: positions, sequences: count, batchSize: 256 };
  const context = await model.createContext({ ...size, threads, flashAttention: true }); // a little faster than without
  sequences = Array.from({ length: count }, () => context.getSequence());
  return { name: `llama.cpp ${llama.llamaCppRelease?.release ?? ''}`.trim() };
}

async function generate({ prompts, newTokens }) {
  let first = 0;
  const answers = await Promise.all(
    prompts.map(async (prompt, i) => {
      await sequences[i].clearHistory();
      const tokens = [];
      for await (const token of sequences[i].evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        first ||= performance.now();
        tokens.push(token);
        if (tokens.length === newTokens) break;
      }
      return tokens;
    }),
  );
  return { seconds: (performance.now() - first) / 1000, timed: prompts.length * (newTokens - 1), tokens: answers };
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const answer = question.kind === 'open' ? await open(question) : await generate(question);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
