// LlamaCppDriver against the real server of llama.cpp: what it deploys must give the token probabilities of PyTorch, to 1e-3.
// npm has no such server, but node-llama-cpp carries its sources as llama/gitRelease.bundle, from which cmake builds it.
//
//   node test/interchange/llama-server.mjs LLAMA_SERVER FOLDER
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { LlamaCppDriver } from '../../dist/serving/index.js';
import { writeBaseModel } from './base-gguf.mjs';
import { cases, configOf, expected, modulesOf, weightsOf } from './tiny-models.mjs';

const TOLERANCE = 1e-3;
const TOKEN = 'a-token';
const NAMES = { 'v1.0': 'plain', 'v1.1': 'rslora', 'v1.2': 'mixed' };
const [llamaServer, top] = process.argv.slice(2);
const port = await freePort();
let server;

async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function stop() {
  if (!server || server.exitCode !== null || server.signalCode !== null) return;
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  await exited;
}

async function start(model, files, { withoutApply = true, cachePrompt = false } = {}) {
  await stop();
  const place = ['--host', '127.0.0.1', '--port', `${port}`, '--api-key', TOKEN];
  const precise = ['--cache-type-k', 'f32', '--cache-type-v', 'f32', '--flash-attn', 'off', '--threads', '1'];
  const adapters = files.flatMap((file) => (withoutApply ? ['--lora-scaled', `${file}:0`] : ['--lora', file]));
  if (!cachePrompt) adapters.push('--no-cache-prompt');
  const args = [
    '--model',
    model,
    '--ctx-size',
    '256',
    '--parallel',
    '2',
    '--no-warmup',
    ...precise,
    ...place,
    ...adapters,
  ];
  server = spawn(llamaServer, args, { stdio: 'ignore' });
}

/** The probabilities of every token after the ids of the cases. */
async function probabilities() {
  const { vocab_size: n_probs } = cases.common;
  // the probabilities are those before sampling, but come only with a token that is whole UTF-8, such as 97
  const body = { prompt: cases.ids, n_predict: 1, n_probs, temperature: -1, logit_bias: [[97, 1000]] };
  const response = await fetch(`http://127.0.0.1:${port}/completion`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  const [{ top_logprobs: all }] = answer.completion_probabilities;
  return new Map(all.map(({ id, logprob }) => [id, Math.exp(logprob)]));
}

let largest = 0;
async function assertAnswers(name, version) {
  const wanted = version === null ? expected[name].base : expected[name].adapters[NAMES[version]].probabilities;
  const got = await probabilities();
  const difference = Math.max(...wanted.map((value, id) => Math.abs((got.get(id) ?? 0) - value)));
  assert.ok(difference < TOLERANCE, `${name}, ${version}: off by ${difference}`);
  largest = Math.max(largest, difference);
}

try {
  for (const name of ['llama', 'qwen3']) {
    const folder = join(top, `server-${name}`);
    mkdirSync(folder, { recursive: true });
    const model = join(folder, 'base.gguf');
    writeBaseModel(model, configOf(name), weightsOf(name));
    await start(model, []);
    let restarts = 0;
    const options = { url: `http://127.0.0.1:${port}`, token: TOKEN, folder, baseModel: configOf(name) };
    const restart = async (files) => {
      restarts++;
      await start(model, files);
    };
    const driver = new LlamaCppDriver({ ...options, restart, attempts: 20 });
    const deploy = (version) => driver.deploy({ name: 'feed', version, modules: modulesOf(name, NAMES[version]) });

    assert.equal((await driver.status('feed')).version, null);
    await assertAnswers(name, null);
    for (const version of ['v1.0', 'v1.1', 'v1.2', 'v1.0']) {
      assert.equal((await deploy(version)).version, version);
      await assertAnswers(name, version);
    }
    assert.equal(restarts, 3, 'one for each version that it did not know');
    assert.deepEqual((await driver.disable('feed')).version, null);
    await assertAnswers(name, null);
    await deploy('v1.2');
    await assertAnswers(name, 'v1.2');

    // all adapters applied at once, as the server does by default, is put right
    const files = Object.keys(NAMES).map((version) => join(folder, 'feed', `${version}.gguf`));
    await start(model, files, { withoutApply: false });
    const restarted = await driver.status('feed');
    assert.deepEqual([restarted.version, restarted.settled, restarted.loaded.length], [null, false, 3]);
    await deploy('v1.1');
    await assertAnswers(name, 'v1.1');

    // why it must not cache prompts: what it keeps was computed with the version before
    await start(model, files, { cachePrompt: true });
    await deploy('v1.0');
    await assertAnswers(name, 'v1.0');
    await deploy('v1.1');
    await assert.rejects(assertAnswers(name, 'v1.1'), /off by/, 'the control');

    const stranger = new LlamaCppDriver({ ...options, token: 'another' });
    await assert.rejects(stranger.status('feed'), { code: 'ERR_SERVING_REFUSED', message: /status 401/ });
    await stop();
    await assert.rejects(new LlamaCppDriver(options).status('feed'), { code: 'ERR_SERVING_UNAVAILABLE' });
  }
  console.log(
    `  llama-server: deploy, rollback and disable give the probabilities of PyTorch; off by ${largest} at most`,
  );
} finally {
  await stop();
}
