/** The other kinds of model servers, as the configuration names them. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runRestartCommand } from '../../../src/service/engine/restart-command.js';
import { coded } from '../../personalization/samples.js';
import { ControlPlaneServer, LlamaCppServer } from '../../serving/single-lora-servers.js';
import { root } from '../../support/imports.js';
import { atEnd, caller, newFolder, openWithServers } from './fixtures.js';

describe('serving.driver', () => {
  it('control-plane: reloads, rolls back, and disables by an adapter that changes nothing', async () => {
    const server = await new ControlPlaneServer().listen();
    atEnd(() => server.die());
    const { service, folder } = await openWithServers([server], { overrides: { 'serving.driver': 'control-plane' } });
    for (const adapterVersion of ['v1.0', 'v1.1']) await service.activate({ adapterVersion }, caller);
    expect(server.active).toMatchObject({ version: 'v1.1', path: join(folder, 'serving/default/v1.1') });
    expect(server.effect).toBe(2);
    await service.rollback({ reason: 'worse' }, caller);
    expect(server.effect).toBe(1);
    await service.disable({ reason: 'worse still' }, caller);
    expect(server).toMatchObject({ effect: 0, active: { version: 'base' } });
  });

  it('control-plane: disables by an endpoint, where one is named, with versions in a folder of their own', async () => {
    const server = new ControlPlaneServer();
    server.canDisable = true;
    await server.listen();
    atEnd(() => server.die());
    const shared = newFolder();
    const overrides = {
      ...{ 'serving.driver': 'control-plane', 'serving.folder': shared },
      'serving.disablePath': '/internal/lora/disable',
    };
    const { service } = await openWithServers([server], { overrides });
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    expect(server.active?.path).toBe(join(shared, 'default/v1.0'));
    await service.disable({ reason: 'worse' }, caller);
    expect(server.active).toBeUndefined();
  });

  it('llama.cpp: says how it must be started for a version, and serves it when it was', async () => {
    const server = await new LlamaCppServer().start([]);
    atEnd(() => server.die());
    const model = newFolder();
    writeFileSync(join(model, 'config.json'), '{"model_type": "llama", "num_attention_heads": 2}');
    const overrides = { 'serving.driver': 'llama.cpp', 'model.folder': model };
    const { service, folder, versions } = await openWithServers([server], { overrides });
    const file = join(folder, 'serving/default/v1.0.gguf');
    await expect(service.activate({ adapterVersion: 'v1.0' }, caller)).rejects.toEqual(
      coded('ERR_SERVING_REFUSED', `--lora-scaled ${file}:0`),
    );
    expect((await versions.state()).aliases).toEqual({});
    await server.die();
    await server.start([file]);
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    expect(server.adapters).toMatchObject([{ path: file, scale: 1 }]);
    await service.disable({ reason: 'worse' }, caller);
    expect(server.adapters).toMatchObject([{ scale: 0 }]);
  });

  it('names the server that answers, where none answers here', async () => {
    const server = await new ControlPlaneServer().listen();
    atEnd(() => server.die());
    const overrides = {
      'serving.driver': 'control-plane',
      'model.folder': join(root, 'models/tiny-shakespeare-llama'),
    };
    const { service } = await openWithServers([server], { overrides });
    await expect(service.generate({ prompt: 'ROMEO:' })).rejects.toEqual(
      coded('ERR_INVALID_STATE', `control plane at ${server.url}`),
    );
    // the model is there for training, and is loaded when that needs it
    expect((await service.health()).components.model).toMatchObject({ status: 'off' });
  });
});

describe('serving.restartCommand', () => {
  const program = (folder: string, text: string) => {
    const path = join(folder, 'restart');
    writeFileSync(path, `#!/bin/sh\n${text}\n`);
    chmodSync(path, 0o755);
    return path;
  };

  it.skipIf(process.platform === 'win32')('is called with the URL and the files', async () => {
    const folder = newFolder();
    await runRestartCommand(program(folder, `printf '%s\\n' "$@" > ${folder}/seen`), 'http://a', ['/x y', '/z']);
    expect(readFileSync(join(folder, 'seen'), 'utf8')).toBe('http://a\n/x y\n/z\n');
  });

  it.skipIf(process.platform === 'win32')('rejects with what it says when it fails', async () => {
    const failing = runRestartCommand(program(newFolder(), 'echo no such unit >&2; exit 3'), 'http://a', []);
    await expect(failing).rejects.toEqual(coded('ERR_SERVING_UNAVAILABLE', 'no such unit'));
    const missing = runRestartCommand(join(newFolder(), 'nothing'), 'http://a', []);
    await expect(missing).rejects.toEqual(coded('ERR_SERVING_UNAVAILABLE', 'ENOENT'));
  });
});
