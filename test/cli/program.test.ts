import { describe, expect, it } from 'vitest';
import { allCommands } from './commands.js';
import { run } from './run.js';

describe('the command line', () => {
  it('has the commands of the original system, and those that it lacked', () => {
    const names = allCommands.map(({ path }) => path.join(' '));
    const original = [
      'train',
      'train-jsonl',
      'fisher',
      'list-adapters',
      'adapter-info',
      'deploy',
      'status',
      'metrics',
      'health',
    ];
    const missed = [
      'lora status',
      'lora enable',
      'lora disable',
      'lora activate',
      'lora rollback',
      'validate',
      'jobs wait',
    ];
    expect(names).toEqual(
      expect.arrayContaining([...original, ...missed, 'doctor', 'export', 'merge', 'feedback import']),
    );
  });

  it.each(allCommands.map(({ path }) => path.join(' ')))(
    'explains %s, with the options that all have',
    async (name) => {
      const { code, stdout, stderr } = await run([...name.split(' '), '--help']);
      expect(code).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).toContain(`Usage: lorakeet ${name}`);
      for (const option of ['--json', '--base-url', '--token', '--timeout']) expect(stdout).toContain(option);
      expect(stdout).not.toContain('\u001b');
    },
  );

  it('shows what there is without a command, as a mistake', async () => {
    const { code, stdout, stderr } = await run([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Commands:');
  });

  it('tells its version', async () => {
    const { code, stdout } = await run(['--version']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([
    ['an unknown command', ['trian'], /unknown command 'trian' \(Did you mean train\?\)/],
    ['an unknown command of a group', ['lora', 'stop'], /unknown command 'stop'/],
    ['an unknown option', ['status', '--colour'], /unknown option '--colour'/],
    ['a missing argument', ['adapters', 'show'], /missing required argument 'version'/],
    ['a missing option', ['train-jsonl'], /required option '--dataset <path>' not specified/],
    ['an argument too many', ['status', 'now'], /too many arguments/],
    ['no number', ['train', '--days', 'week'], /'week' is invalid. expected an integer from 1 to 3650/],
    ['a number out of its range', ['train', '--days', '0'], /'0' is invalid. expected an integer from 1 to 3650/],
    ['an unknown choice', ['jobs', 'list', '--state', 'lost'], /Allowed choices are queued, running/],
    ['no time', ['feedback', 'count', '--since', '2026-13-01'], /expected a day like 2026-01-05/],
    ['a time without zone', ['feedback', 'count', '--since', '2026-01-05T02:00'], /expected a day like/],
    ['an address that is none', ['status', '--base-url', 'localhost:8003'], /options.baseUrl: expected an http/],
    ['a password in the address', ['status', '--base-url', 'http://me:secret@x'], /without user, password/],
    ['a token that no header carries', ['status', '--token', 'a b'], /options.token: expected/],
    ['files that are not here', ['validate', '--suite', 'a'], /expected --remote for files/],
    ['files without the others', ['validate', '--candidate-output', 'a'], /with --suite and --baseline-output/],
    ['a key that is none', ['doctor', '--set', 'training'], /expected key=value/],
    ['a merge to nowhere', ['merge', 'a', 'b'], /expected either --output or --publish/],
  ])('refuses %s in one line', async (_, args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^lorakeet: .*\n$/);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toContain('secret');
  });

  it('shows where an error comes from when it is told to', async () => {
    const args = ['validate', '--suite', 'a'];
    expect((await run(args)).stderr).not.toMatch(/\n {4}at /);
    expect((await run(args, { env: { LORAKEET_DEBUG: '1' } })).stderr).toMatch(/\n {4}at /);
  });
});
