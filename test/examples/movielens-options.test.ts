import { describe, expect, test } from 'vitest';
import { HELP, parseOptions } from '../../examples/movielens/options.js';
import { UserError } from '../../examples/movielens/user-error.js';

describe('parseOptions', () => {
  test('has defaults', () => {
    expect(parseOptions([])).toEqual({ backend: 'auto', seed: 0, store: '.lorakeet', reset: false, help: false });
  });

  test('reads every flag', () => {
    const args = '--backend js --seed 2 --users 9 --data d --store s --reset --json out.json --help'.split(' ');
    expect(parseOptions(args)).toEqual({
      backend: 'js',
      seed: 2,
      users: 9,
      data: 'd',
      store: 's',
      reset: true,
      json: 'out.json',
      help: true,
    });
  });

  test.each([
    [['--sead', '1'], /--sead/],
    [['extra'], /extra/],
    [['--seed'], /--seed/],
    [['--seed', '1.5'], /--seed: got "1.5", expected a whole number from 0 to 4294967295/],
    [['--seed=-1'], /--seed: got "-1"/],
    [['--seed', '4294967296'], /--seed/],
    [['--seed', ''], /--seed: got ""/],
    [['--users', '0'], /--users: got "0", expected a whole number from 1/],
    [['--users', 'many'], /--users: got "many"/],
    [['--backend', 'gpu'], /--backend: got "gpu", expected one of auto, cuda, cpu, js/],
    [['--data', ''], /--data: got an empty name/],
    [['--store='], /--store: got an empty name/],
    [['--reset=yes'], /--reset/],
  ])('refuses %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UserError);
    expect(() => parseOptions(args)).toThrow(message);
  });

  test('the help names every flag', () => {
    for (const flag of ['backend', 'seed', 'users', 'data', 'store', 'reset', 'json', 'help']) {
      expect(HELP).toContain(`--${flag} `);
    }
  });
});
