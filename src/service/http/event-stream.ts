/** An answer while it is being written, as server-sent events. */
import { PassThrough, type Readable } from 'node:stream';
import type { GenerateAnswer } from '../engine/operations.js';
import { toWire } from '../wire.js';
import type { RouteContext } from './route.js';

const eventOf = (name: string, data: unknown) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/**
 * Events `text` with { text } as they come, then one `answer` with all of it, or one `error` with what any error has. Rejects
 * with what is wrong before there is any text.
 */
export async function streamAnswer(
  { reply, explain }: Pick<RouteContext<unknown, unknown, unknown>, 'reply' | 'explain'>,
  generate: (onText: (text: string) => void) => Promise<GenerateAnswer>,
): Promise<Readable> {
  const stream = new PassThrough();
  await new Promise<void>((begun, failed) => {
    let written = false;
    const write = (event: string) => {
      written = true;
      if (stream.writable) stream.write(event);
      begun();
    };
    generate((text) => write(eventOf('text', { text })))
      .then((answer) => write(eventOf('answer', toWire(answer))))
      .catch((error) => {
        if (written) write(eventOf('error', explain(error)));
        else failed(error);
      })
      .finally(() => stream.end());
  });
  reply.header('content-type', 'text/event-stream; charset=utf-8').header('x-accel-buffering', 'no');
  return stream;
}
