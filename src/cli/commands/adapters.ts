/** adapters: the versions of the service's adapter. */
import type { Command } from 'commander';
import type { LoraRequest, QuarantineRequest } from '../../service/engine/operations.js';
import { toWire } from '../../service/wire.js';
import type { Act } from '../program.js';
import { adapterLines, adapterTable, loraLines, loraResultLines } from '../render/adapters.js';
import { addLoraOptions, type LoraOptions, loraRequestOf } from './lora.js';

export function addAdapterCommands(program: Command, act: Act): void {
  const adapters = program.command('adapters').description('versions of the adapter');

  const list = (command: Command) =>
    command.description('all versions, newest first').action(
      act(async (context) => {
        const found = await context.client().adapters(context);
        context.print({ adapters: toWire(found), total: found.length }, () => adapterTable(found));
      }),
    );
  const show = (command: Command) =>
    command.description('one version, with its files, its metrics and where it comes from').action(
      act(async (context, _, [version]) => {
        const found = await context.client().adapter(version, context);
        context.print(toWire(found), () => adapterLines(found));
      }),
    );
  const deploy = (command: Command) =>
    addLoraOptions(command.description('make a version the one that answers'), { override: true }).action(
      act<LoraOptions>(async (context, options, [adapterVersion]) => {
        const request: LoraRequest & { adapterVersion: string } = { ...loraRequestOf(options), adapterVersion };
        const result = await context.client().deploy(request, context);
        context.print(toWire(result), () => loraResultLines(result));
      }),
    );

  const isolate = (name: 'quarantine' | 'release', description: string) =>
    adapters
      .command(`${name} <version>`)
      .description(description)
      .requiredOption('--reason <text>', 'for the audit trail')
      .action(
        act<Pick<QuarantineRequest, 'reason'>>(async (context, { reason }, [adapterVersion]) => {
          const status = await context.client()[name]({ adapterVersion, reason }, context);
          context.print(toWire(status), () => loraLines(status));
        }),
      );

  list(adapters.command('list'));
  show(adapters.command('show <version>'));
  deploy(adapters.command('deploy <version>'));
  isolate('quarantine', 'keep a version from being served');
  isolate('release', 'take a version out of quarantine; it is not approved then');
  // as the original system called them
  list(program.command('list-adapters', { hidden: true }));
  show(program.command('adapter-info <version>', { hidden: true }));
  deploy(program.command('deploy <version>', { hidden: true }));
}
