import type { Argument, Command } from 'commander';
import { createProgram } from '../../src/cli/program.js';

export interface NamedCommand {
  path: string[];
  /** With its arguments, without options. */
  usage: string;
  command: Command;
  isHidden: boolean;
}

/** Every command that does something, with what leads to it. */
function commandsOf(parent: Command, path: readonly string[]): NamedCommand[] {
  const visible = parent.createHelp().visibleCommands(parent);
  return parent.commands.flatMap((command) => {
    const own = [...path, command.name()];
    if (command.commands.length > 0) return commandsOf(command, own);
    const takes = command.registeredArguments.map(humanReadable);
    return [{ path: own, usage: [...own, ...takes].join(' '), command, isHidden: !visible.includes(command) }];
  });
}

function humanReadable(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

const program = createProgram(() => async () => {}, process);
export const allCommands = commandsOf(program, []);
