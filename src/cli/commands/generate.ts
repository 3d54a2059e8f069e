/** generate: what is served answers. */
import { text as readAll } from 'node:stream/consumers';
import type { Command } from 'commander';
import type { GenerateRequest } from '../../service/engine/operations.js';
import { toWire } from '../../service/wire.js';
import type { Act } from '../program.js';
import { collected, integer, number } from '../values.js';

interface GenerateOptions extends Omit<GenerateRequest, 'prompt'> {
  chat?: boolean;
  system?: string;
}

export function addGenerateCommand(program: Command, act: Act): void {
  program
    .command('generate <prompt>')
    .description('an answer of what is served, as it is written; - takes the prompt from standard input')
    .option('--chat', "by the model's chat template, as a message of the user")
    .option('--system <text>', 'with a message of the system before it')
    .option('--max-new-tokens <number>', 'at most', integer(1, 2 ** 24))
    .option('--temperature <number>', '0 writes the likeliest', number({ max: 100 }))
    .option('--top-k <number>', 'of the likeliest so many', integer(1, 2 ** 31))
    .option('--top-p <number>', 'of the likeliest that have this probability together', number({ above: 0, max: 1 }))
    .option('--stop <text>', 'ends the answer; may stand several times', collected)
    .option('--seed <number>', 'the same one writes the same', integer(0, 2 ** 32 - 1))
    .action(
      act<GenerateOptions>(async (context, options, [given]) => {
        const { chat, system, maxNewTokens, temperature, topK, topP, stop, seed } = options;
        const text = given === '-' ? await readAll(context.surroundings.stdin) : given;
        const messages = [
          ...(system === undefined ? [] : [{ role: 'system', content: system }]),
          { role: 'user', content: text },
        ];
        const prompt = chat || system !== undefined ? messages : text;
        const request = { prompt, maxNewTokens, temperature, topK, topP, stop, seed };
        const client = context.client();
        if (context.isJson) {
          const answer = await client.generate(request, context);
          context.print(toWire(answer), () => []);
          return;
        }
        const pieces: Promise<void>[] = [];
        const onText = (piece: string) => pieces.push(context.write(piece));
        const answer = await client.generate(request, { signal: context.signal, onText });
        await Promise.all(pieces);
        await context.write('\n');
        context.note(`(${answer.version ?? 'base model'}, ${answer.completionTokens} tokens, ${answer.finishReason})`);
      }),
    );
}
