// Many requests on one connection without waiting for the answers.
import t from 'tap'
import { request, startService, until } from '../support.ts'
import { RawClient, pollText, pushText, requestText } from './raw-client.ts'

t.test('pipelined requests are answered in order, slow ones before quick ones', async t => {
  const service = await startService(t)
  const connection = await new RawClient(t, service.url).open()
  const kinds: [string, number][] = [
    [pollText('nothing', 300), 200],
    [pushText('pipe', 'a'), 201],
    [requestText('GET', '/api/v1/nowhere'), 404],
    [requestText('POST', '/api/v1/push', '{"items":[{}]}'), 400],
    [requestText('GET', '/api/v1/status'), 200],
    [requestText('GET', '/api/v1/pop/queue/none?batch=5', '{"a body":"that nobody asked for"}'), 200],
    [requestText('POST', '/api/v1/configure', '{"queue":"pipe"}'), 200]
  ]
  const sent = Array.from({ length: 20 }, () => kinds).flat()
  await connection.write(sent.map(([bytes]) => bytes).join(''))
  await connection.reply(sent.length - 1)
  t.same(connection.replies.map(({ status }) => status), sent.map(([, status]) => status))
  t.equal((await service.pop('pipe?batch=100')).json.messages.length, 20)
})

t.test('what cannot be read ends a connection after the answers to what came before', async t => {
  const service = await startService(t)
  const client = new RawClient(t, service.url)
  const connection = await client.open()
  await connection.write(pushText('before', 1) + pushText('before', 2))
  await connection.reply(1)
  await connection.write('NONSENSE\r\n\r\n' + pushText('after', 3))
  await connection.closed()
  t.same(connection.replies.map(({ status }) => status), [201, 201, 400])
  t.equal((await service.pop('before?batch=9&partitions=9')).json.messages.length, 2)
  t.equal((await service.pop('after')).json.messages.length, 0)
})

for (const how of ['lease', 'autoAck']) {
  t.test(`pops that share a connection are let go with it (${how})`, async t => {
    const service = await startService(t, { safetyNetMs: 0 })
    const connection = await new RawClient(t, service.url).open()
    const parkedPops = async (): Promise<number> => (await request(`${service.url}/health`)).json.load.parkedPops
    await connection.write(pollText('shared', 60_000, how === 'autoAck' ? '&autoAck=true' : '').repeat(20))
    await until(async () => await parkedPops() === 20)
    connection.leave()
    await t.resolves(until(async () => await parkedPops() === 0, 5_000), 'none is left behind')
    await service.push([{ queue: 'shared', payload: 1 }])
    t.match((await service.pop('shared?wait=true&timeout=5000')).json.messages, [{ data: 1, deliveryCount: 1 }])
  })
}
