import { OPERATIONS, SCHEMAS } from './schemas.js'

interface RouteSchema {
  readonly summary: string
  readonly body?: object
  readonly querystring?: { readonly properties: Readonly<Record<string, object>> }
  readonly params?: { readonly properties: Readonly<Record<string, object>> }
}

const FAILURE = {
  type: 'object',
  required: ['status', 'code', 'message', 'component', 'retriable', 'outcome'],
  properties: {
    status: { const: 'failure' },
    code: { type: 'string', description: 'Stable; branch on it' },
    message: { type: 'string', description: 'For people; may change' },
    component: { type: 'string' },
    retriable: { type: 'boolean', description: 'The same call may succeed later' },
    outcome: { enum: ['no', 'unknown'], description: 'unknown: the call may have taken effect' },
    field: { type: 'string', description: 'The field at fault, as it was spelt' },
  },
}

/** The public API as an OpenAPI 3.1 document. */
export function openApiDocument(version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { method, path, operation } of OPERATIONS) {
    const schema: RouteSchema = SCHEMAS[operation]
    const item = (paths[path] ??= {})
    item[method.toLowerCase()] = {
      operationId: operation,
      summary: schema.summary,
      parameters: [...parameters('query', schema.querystring), ...parameters('path', schema.params)],
      ...(schema.body === undefined
        ? {}
        : { requestBody: { required: true, content: { 'application/json': { schema: schema.body } } } }),
      responses: {
        '200': {
          description: 'Success',
          content: {
            'application/json': {
              schema: { type: 'object', required: ['status'], properties: { status: { const: 'success' } } },
            },
          },
        },
        default: {
          description: 'Failure',
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Failure' } } },
        },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Sluice', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
    servers: [{ url: 'http://127.0.0.1:8080' }],
    paths,
    components: { schemas: { Failure: FAILURE } },
  }
}

function parameters(place: 'query' | 'path', schema: RouteSchema['params']): object[] {
  return Object.entries(schema?.properties ?? {}).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path',
    schema: property,
  }))
}
