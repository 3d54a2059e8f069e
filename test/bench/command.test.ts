import { afterEach, describe, expect, it, vi } from 'vitest';
import { runCommand } from '../../bench/src/command.js';
import { HELP, parseOptions } from '../../bench/src/options.js';
import { UsageError } from '../../bench/src/usage-error.js';

afterEach(() => vi.restoreAllMocks());

describe('the command line', () => {
  it('is a short form of everything without arguments', () => {
    expect(parseOptions([])).toEqual({
      suites: ['kernels', 'facade'],
      continual: false,
      short: true,
      isa: undefined,
      shape: undefined,
      peers: false,
      docs: false,
      json: undefined,
      help: false,
    });
  });

  it('takes suites and flags', () => {
    expect(parseOptions(['kernels', '--isa', 'all', '--shape', '128/8', '--peers', '--json', 'out.json'])).toEqual({
      suites: ['kernels'],
      continual: false,
      short: false,
      isa: 'all',
      shape: '128/8',
      peers: true,
      docs: false,
      json: 'out.json',
      help: false,
    });
    expect(parseOptions(['kernels', 'facade', '--peers', '--docs']).docs).toBe(true);
    expect(parseOptions(['facade', 'kernels']).suites).toEqual(['kernels', 'facade']);
    expect(parseOptions(['continual'])).toMatchObject({ suites: [], continual: true });
  });

  it.each([
    [['--nope'], /Unknown option '--nope'/],
    [['kernel'], /suite: got "kernel", expected one of kernels, facade/],
    [['--shape', '64x4'], /--shape: got "64x4", expected one of 64\/4, /],
    [['--isa', ''], /--isa: got an empty name/],
    [['facade', '--peers'], /--peers: needs the suite kernels/],
    [['kernels', '--peers', '--docs'], /--docs: needs kernels, facade and --peers/],
    [['kernels', 'facade', '--docs'], /--docs: needs/],
    [['kernels', 'facade', '--peers', '--docs', '--shape', '64/4'], /--docs: needs .* every shape/],
    [['--json='], /--json: got an empty name/],
  ])('refuses %j', (args, message) => {
    expect(() => parseOptions(args)).toThrow(UsageError);
    expect(() => parseOptions(args)).toThrow(message);
  });

  it.each([
    [['--nope'], /Unknown option/],
    [['--isa', 'sse9'], /--isa: got "sse9", expected one of/],
    [['--json', 'no/such/folder/out.json'], /--json: got "no\/such\/folder\/out\.json", expected/],
  ])('ends with 2 before anything is measured: %j', async (args, message) => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    expect(await runCommand(args)).toBe(2);
    expect(error.mock.calls.flat().join('\n')).toMatch(message);
    expect(log).not.toHaveBeenCalled();
  });

  it('shows help', async () => {
    const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
    expect(await runCommand(['--help'])).toBe(0);
    expect(write).toHaveBeenCalledWith(HELP);
    for (const flag of ['--isa', '--shape', '--peers', '--docs', '--json', '--help']) expect(HELP).toContain(flag);
  });
});
