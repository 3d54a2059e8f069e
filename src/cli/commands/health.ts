/** health and metrics: how the service is. */
import type { Command } from 'commander';
import { toWire } from '../../service/wire.js';
import { exitCode } from '../exit-codes.js';
import type { Act } from '../program.js';
import { parsePrometheus } from '../prometheus.js';
import { fields, table } from '../text.js';

export function addHealthCommands(program: Command, act: Act): void {
  program
    .command('health')
    .description('whether the service and all that it needs work; exit code 1 if it is unhealthy')
    .action(
      act(async (context) => {
        const health = await context.client().health(context);
        const { status, version, uptimeSeconds, components } = health;
        context.print(toWire(health), () => [
          ...fields([
            ['status', status],
            ['version', version],
            ['up', `${Math.round(uptimeSeconds)} s`],
          ]),
          '',
          ...table(
            ['component', 'status', 'ms', 'detail'],
            Object.entries(components).map(([name, one]) => [name, one.status, Math.round(one.ms), one.detail]),
            'no components',
          ),
        ]);
        return status === 'unhealthy' ? exitCode('failed') : exitCode('ok');
      }),
    );

  program
    .command('metrics')
    .description('what Prometheus reads')
    .action(
      act(async (context) => {
        const text = await context.client().metrics(context);
        context.print({ metrics: parsePrometheus(text) }, () => text.trimEnd().split('\n'));
      }),
    );
}
