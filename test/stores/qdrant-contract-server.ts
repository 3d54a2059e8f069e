/**
 * Answers the requests that QdrantVectors and QdrantAdapterStorage make as the OpenAPI schema of Qdrant 1.16 says, which @qdrant/js-client-rest
 * carries as its types. It is no Qdrant and was not recorded from one: it shows that the driver speaks the schema, not
 * that a server agrees. What a request may not have is refused with 400, so that a slip does not pass unseen.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

type Json = Record<string, unknown>;
interface Point {
  id: string;
  vector: number[];
  payload: Json;
}
interface Collection {
  size: number;
  distance: 'Cosine' | 'Dot';
  points: Map<string, Point>;
  indexes: Map<string, string>;
}

class Refused extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export class QdrantContractServer {
  readonly collections = new Map<string, Collection>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const text = Buffer.concat(chunks).toString();
      const send = (status: number, body: Json) => {
        response
          .writeHead(status, { 'content-type': 'application/json' })
          .end(JSON.stringify({ time: 0.001, ...body }));
      };
      try {
        const path = new URL(request.url ?? '/', 'http://localhost').pathname;
        const result = this.#answer(`${request.method} ${path}`, text ? (JSON.parse(text) as Json) : {});
        send(200, { status: 'ok', result });
      } catch (error) {
        send(error instanceof Refused ? error.status : 500, { status: { error: (error as Error).message } });
      }
    });
  }

  static async start(): Promise<QdrantContractServer> {
    const started = new QdrantContractServer();
    await new Promise<void>((resolve) => started.#server.listen(0, '127.0.0.1', resolve));
    return started;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: string, body: Json): unknown {
    const [, method, name, rest = ''] = /^(\w+) \/collections\/([^/]+)(\/.*)?$/.exec(request) ?? [];
    const found = this.collections.get(name);
    const route = `${method} ${rest}`;
    if (route === 'GET /exists') return { exists: found !== undefined };
    if (route === 'PUT ') return this.#create(name, body);
    if (!found) throw new Refused(404, `Not found: Collection \`${name}\` doesn't exist!`);
    switch (route) {
      case 'GET ':
        return { status: 'green', config: { params: { vectors: { size: found.size, distance: found.distance } } } };
      case 'PUT /points':
        return upsert(found, body);
      case 'POST /points/delete':
        only(body, ['points']);
        for (const id of body.points as string[]) found.points.delete(requireId(id));
        return { operation_id: 1, status: 'completed' };
      case 'PUT /points/payload':
        return overwritePayload(found, body);
      case 'PUT /index':
        only(body, ['field_name', 'field_schema']);
        found.indexes.set(body.field_name as string, body.field_schema as string);
        return { operation_id: 3, status: 'completed' };
      case 'POST /points':
        only(body, ['ids', 'with_payload']);
        return (body.ids as string[]).flatMap((id) => recordOf(found.points.get(requireId(id))));
      case 'POST /points/scroll':
        return scroll(found, body);
      case 'POST /points/query':
        return query(found, body);
      case 'POST /points/count':
        only(body, ['exact']);
        return { count: found.points.size };
    }
    throw new Refused(404, `no route ${request}`);
  }

  #create(name: string, body: Json): boolean {
    only(body, ['vectors']);
    const { size, distance } = body.vectors as { size: number; distance: 'Cosine' | 'Dot' };
    only(body.vectors as Json, ['size', 'distance']);
    if (this.collections.has(name)) throw new Refused(409, `Wrong input: Collection \`${name}\` already exists!`);
    if (!(size > 0) || !['Cosine', 'Dot'].includes(distance)) throw new Refused(422, 'vectors');
    this.collections.set(name, { size, distance, points: new Map(), indexes: new Map() });
    return true;
  }
}

/** Fields that are undefined in the client do not come here at all. */
function only(body: Json, known: readonly string[]): void {
  const unknown = Object.keys(body).filter((key) => !known.includes(key));
  if (unknown.length > 0) throw new Refused(400, `Format error: unknown field ${unknown}`);
}

function requireId(id: unknown): string {
  if (typeof id !== 'string' || !UUID.test(id)) throw new Refused(400, `Format error: ${id} is not a valid point ID`);
  return id;
}

function upsert(collection: Collection, body: Json): Json {
  only(body, ['points']);
  for (const point of body.points as Point[]) {
    only(point as unknown as Json, ['id', 'vector', 'payload']);
    requireId(point.id);
    if (point.vector.length !== collection.size) throw new Refused(400, 'Wrong input: Vector dimension error');
    collection.points.set(point.id, point);
  }
  return { operation_id: 0, status: 'completed' };
}

/** In one step, as one process has the shard of a point. */
function overwritePayload(collection: Collection, body: Json): Json {
  only(body, ['payload', 'filter']);
  for (const point of collection.points.values()) {
    if (holds(body.filter as Json, point.payload, point.id)) point.payload = body.payload as Json;
  }
  return { operation_id: 2, status: 'completed' };
}

function scroll(collection: Collection, body: Json): Json {
  only(body, ['filter', 'limit', 'with_payload', 'with_vector', 'offset']);
  const from = [...collection.points.values()]
    .filter(({ payload }) => holds((body.filter ?? {}) as Json, payload))
    .filter(({ id }) => body.offset === undefined || id >= requireId(body.offset))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const limit = body.limit as number;
  return { points: from.slice(0, limit).flatMap(recordOf), next_page_offset: from[limit]?.id ?? null };
}

function recordOf(point: Point | undefined): Json[] {
  return point ? [{ id: point.id, payload: point.payload }] : [];
}

function query(collection: Collection, body: Json): Json {
  only(body, ['query', 'limit', 'with_payload', 'filter', 'params']);
  const vector = body.query as number[];
  if (vector.length !== collection.size) throw new Refused(400, 'Wrong input: Vector dimension error');
  const hits = [...collection.points.values()]
    .filter(({ payload }) => holds((body.filter ?? {}) as Json, payload))
    .map(({ id, vector: own, payload }) => ({
      id,
      version: 0,
      payload,
      score: score(collection.distance, own, vector),
    }))
    .sort((a, b) => b.score - a.score);
  return { points: hits.slice(0, body.limit as number) };
}

function score(distance: string, x: readonly number[], y: readonly number[]): number {
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  return Math.fround(distance === 'Dot' ? dot(x, y) : dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y)));
}

/** must, should, has_id, match.value and range, on paths of payload keys. */
function holds(condition: Json, payload: Json, id?: string): boolean {
  only(condition, ['must', 'should', 'has_id', 'key', 'match', 'range']);
  if (condition.has_id) return (condition.has_id as string[]).map(requireId).includes(id as string);
  const {
    must = [],
    should,
    key,
    match,
    range,
  } = condition as {
    must?: Json[];
    should?: Json[];
    key?: string;
    match?: { value: unknown };
    range?: { gte: number; lte: number };
  };
  if (!must.every((part) => holds(part, payload, id))) return false;
  if (should && !should.some((part) => holds(part, payload, id))) return false;
  if (key === undefined) return true;
  const value = key.split('.').reduce<unknown>((at, name) => (at as Json | undefined)?.[name], payload);
  if (range) return typeof value === 'number' && value >= range.gte && value <= range.lte;
  if (match && !['string', 'boolean'].includes(typeof match.value) && !Number.isInteger(match.value)) {
    throw new Refused(400, 'Format error: match.value is neither keyword, integer nor bool');
  }
  return value === match?.value;
}
