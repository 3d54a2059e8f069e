/** The OpenAPI document, and whether answers are as it says. */
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { FastifyInstance } from 'fastify';
import type { OpenAPIV3_1 } from 'openapi-types';

export async function documentOf(app: FastifyInstance): Promise<OpenAPIV3_1.Document> {
  return (await app.inject({ method: 'GET', url: '/docs/json' })).json();
}

export interface Operation {
  method: 'GET' | 'POST';
  /** /jobs/{id} */
  path: string;
  operation: OpenAPIV3_1.OperationObject;
}

export function operationsOf(document: OpenAPIV3_1.Document): Operation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    (['get', 'post'] as const).flatMap((method) => {
      const operation = item?.[method];
      return operation ? [{ method: method.toUpperCase() as Operation['method'], path, operation }] : [];
    }),
  );
}

/** What is wrong with an answer; '' if nothing is. Answers may have no field that the document does not name. */
export function checkerOf(document: OpenAPIV3_1.Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  (addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
  ajv.addSchema({ $id: 'document', ...closed(document) });
  return ({ path, method }: Operation, status: number, type: string, body: unknown): string => {
    const pointer = `document#/paths/${path.replaceAll('/', '~1')}/${method.toLowerCase()}/responses/${status}`;
    if (!ajv.getSchema(pointer)) return `the document has no status ${status}`;
    const validate = ajv.getSchema(`${pointer}/content/${type.replaceAll('/', '~1')}/schema`);
    if (!validate) return `the document has no ${type} for status ${status}`;
    if (validate(body)) return '';
    return (validate.errors as ErrorObject[]).map((error) => `${error.instancePath} ${error.message}`).join('; ');
  };
}

/** Objects that do not say that they have other fields have none here. */
function closed<T>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(closed) as T;
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, inner]) => [key, closed(inner)]);
  const isObject = 'type' in schema && schema.type === 'object' && 'properties' in schema;
  return { ...(isObject && { additionalProperties: false }), ...Object.fromEntries(entries) } as T;
}
