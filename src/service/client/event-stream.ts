/** The events of a streamed answer: pieces of text, and the whole at the end. */
import type { IncomingMessage } from 'node:http';
import { LorakeetError } from '../../errors.js';
import type { GenerateAnswer } from '../engine/operations.js';
import { fromWire } from '../wire.js';
import { type ErrorBody, errorOfBody } from './transport.js';

interface StreamEvent {
  name: string;
  data: string;
}

/** Rejects with what the service says went wrong, and ERR_SERVICE_REFUSED where the stream ends before its last event. */
export async function readAnswer(response: IncomingMessage, onText: (text: string) => void): Promise<GenerateAnswer> {
  for await (const { name, data } of eventsOf(response)) {
    const value = JSON.parse(data);
    if (name === 'text') onText((value as { text: string }).text);
    if (name === 'answer') return fromWire(value) as GenerateAnswer;
    if (name === 'error') throw errorOfBody(response.statusCode as number, (value as { error: ErrorBody }).error);
  }
  throw new LorakeetError('ERR_SERVICE_REFUSED', 'the answer ended before its last event');
}

/** As the standard of server-sent events has them, without ids and times to retry. */
async function* eventsOf(response: IncomingMessage): AsyncGenerator<StreamEvent> {
  let pending = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const blocks = `${pending}${chunk}`.split(/\r?\n\r?\n/);
    pending = blocks.pop() as string;
    for (const block of blocks) {
      const lines = block.split(/\r?\n/).map((line) => line.split(/: ?(.*)/s, 2));
      const data = lines.filter(([field]) => field === 'data').map(([, text]) => text);
      const name = lines.find(([field]) => field === 'event')?.[1] ?? 'message';
      if (data.length > 0) yield { name, data: data.join('\n') };
    }
  }
}
