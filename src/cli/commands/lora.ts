/** lora: what is served, and changing that. */
import type { Command } from 'commander';
import type { LearningClient } from '../../service/client/learning-client.js';
import type { CallOptions } from '../../service/client/transport.js';
import type { LoraRequest, LoraResult } from '../../service/engine/operations.js';
import { toWire } from '../../service/wire.js';
import type { Act } from '../program.js';
import { loraLines, loraResultLines } from '../render/adapters.js';

export interface LoraOptions {
  reason?: string;
  override?: boolean;
  expect?: string;
}

export function addLoraOptions(command: Command, { override }: { override: boolean }): Command {
  command
    .option('--reason <text>', 'for the audit trail')
    .option('--expect <version>', 'refuse (exit code 5) unless this version is active; none for nothing');
  return override ? command.option('--override', 'also a version that is not approved; needs a --reason') : command;
}

export function loraRequestOf({ reason, override, expect }: LoraOptions): LoraRequest {
  return { reason, override, expect: expect === 'none' ? null : expect };
}

type Change = (
  client: LearningClient,
  request: LoraRequest,
  version: string,
  options: CallOptions,
) => Promise<LoraResult>;

export function addLoraCommands(program: Command, act: Act): void {
  const lora = program.command('lora').description('what is served: kill switch, activation, rollback');
  const add = (name: string, description: string, change: Change, override = true) =>
    addLoraOptions(lora.command(name).description(description), { override }).action(
      act<LoraOptions>(async (context, options, [version]) => {
        const result = await change(context.client(), loraRequestOf(options), version, context);
        context.print(toWire(result), () => loraResultLines(result));
      }),
    );

  lora
    .command('status')
    .description('what is active, what every replica serves, and the last changes')
    .action(
      act(async (context) => {
        const status = await context.client().loraStatus(context);
        context.print(toWire(status), () => loraLines(status));
      }),
    );
  add(
    'enable <version>',
    'lift the kill switch by activating this version',
    (client, request, adapterVersion, options) => client.enable({ ...request, adapterVersion }, options),
  );
  add(
    'disable',
    'the kill switch: the base model answers',
    (client, request, _, options) => client.disable(request, options),
    false,
  );
  add('activate <version>', 'make a version the one that answers', (client, request, adapterVersion, options) =>
    client.activate({ ...request, adapterVersion }, options),
  );
  add(
    'rollback [version]',
    'back to this version, else to known-good, else to the one before; what is left goes into quarantine',
    (client, request, adapterVersion, options) => client.rollback({ ...request, adapterVersion }, options),
  );
  addLoraOptions(lora.command('promote <version>').description('make it the one to roll back to (known-good)'), {
    override: false,
  }).action(
    act<LoraOptions>(async (context, options, [adapterVersion]) => {
      const status = await context.client().promote({ ...loraRequestOf(options), adapterVersion }, context);
      context.print(toWire(status), () => loraLines(status));
    }),
  );
}
