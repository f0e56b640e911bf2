import fastify from 'fastify'

/** The least a Fastify server can do with the same call: parse the body, check it, answer JSON. */
const app = fastify({ logger: false })
app.post(
  '/bare',
  {
    schema: {
      body: { type: 'object' },
      response: {
        200: {
          type: 'object',
          properties: {
            status: { type: 'string' },
            fields: { type: 'integer' },
            message: { type: 'string' },
          },
        },
      },
    },
  },
  (request, reply) => {
    const fields = Object.keys(request.body as object).length
    void reply.send({ status: 'success', fields, message: 'parsed' })
  },
)
process.on('disconnect', () => {
  void app.close()
})
await app.listen({ host: '127.0.0.1', port: 0 })
const address = app.server.address()
process.send?.({ port: typeof address === 'object' ? address?.port : undefined })
