/** doctor: what the service needs, what is missing, and how to get it. */
import type { Command } from 'commander';
import { exitCode } from '../exit-codes.js';
import { addConfigOptions, type ConfigOptions } from '../local-config.js';
import type { Act } from '../program.js';
import { table } from '../text.js';

export function addDoctorCommand(program: Command, act: Act): void {
  addConfigOptions(
    program
      .command('doctor')
      .description(
        'what works on this machine, what is missing, and how to get it; exit code 1 if the configuration asks for more',
      ),
  ).action(
    act<ConfigOptions>(async (context, options) => {
      const { examine } = await import('../doctor/examine.js');
      const checks = await examine(context, options);
      const missing = checks.filter(({ status }) => status === 'missing');
      context.print({ ok: missing.length === 0, checks }, () => {
        const rows = checks.map(({ name, status, detail, advice }) => [
          status === 'missing' ? 'MISSING' : status,
          name,
          status === 'ok' || advice === undefined ? detail : `${detail}: ${advice}`,
        ]);
        const packages = missing.flatMap(({ advice }) => /^npm install (\S+)$/.exec(advice ?? '')?.[1] ?? []);
        const verdict = missing.length === 0 ? 'nothing that is asked for is missing' : `${missing.length} missing`;
        const all = packages.length > 1 ? [`npm install ${packages.join(' ')}`] : [];
        return [...table(['', 'what', 'found'], rows, ''), '', verdict, ...all];
      });
      return exitCode(missing.length === 0 ? 'ok' : 'failed');
    }),
  );
}
