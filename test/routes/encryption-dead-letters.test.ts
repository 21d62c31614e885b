import { randomBytes } from 'node:crypto'
import t from 'tap'
import { tablesWith } from '../fixtures/plaintext-search.ts'
import { connect, startService } from '../support.ts'

const encryptionKey = randomBytes(32).toString('hex')
const PAYLOAD = '{"text":"marker-5b1c","n":1.10}'

t.test('the dead letters of an encrypted queue are shown, put back and delivered again, and stay encrypted', async t => {
  const service = await startService(t, { encryptionKey })
  const other = await startService(t, { databaseUrl: service.databaseUrl, encryptionKey: randomBytes(32).toString('hex') })
  const sql = connect(t, service.databaseUrl)
  await service.call('POST', '/api/v1/configure', { queue: 'secret', options: { encryptionEnabled: true, retryLimit: 0, retryDelay: 0 } })
  await service.call('POST', '/api/v1/push', `{"items":[{"queue":"secret","payload":${PAYLOAD}}]}`)
  await service.push([{ queue: 'plain', payload: 'seen' }])
  for (const queue of ['secret', 'plain']) {
    const { messages: [message] } = (await service.pop(queue)).json
    t.match((await service.call('POST', '/api/v1/ack', { ...message, status: queue === 'plain' ? 'dlq' : 'failed', error: 'no good' })).json, [{ dlq: true }])
  }

  const list = await service.call('GET', '/api/v1/dlq')
  t.equal(list.json.total, 2)
  t.ok(list.text.includes(`"data":${PAYLOAD}}`), 'byte for byte')
  const [letter] = list.json.messages.filter((entry: any) => entry.queue === 'secret')
  t.ok((await service.call('GET', `/api/v1/dlq/${letter.deadLetterId}`)).text.endsWith(`"data":${PAYLOAD}}`))

  const unreadable = await other.call('GET', '/api/v1/dlq')
  t.equal(unreadable.status, 200)
  t.same(unreadable.json.messages.map(({ queue, data }: any) => [queue, data]), [['plain', 'seen'], ['secret', null]], 'the others are shown all the same')
  t.match(unreadable.text, /there is no key with the kid [0-9a-f]{8} here/)

  t.match((await other.call('POST', `/api/v1/dlq/${letter.deadLetterId}/redrive`)).json, { success: true, redriven: 1 }, 'no key is needed to put it back')
  const again = await service.pop('secret')
  t.ok(again.text.includes(`"data":${PAYLOAD}}`))
  t.same(await tablesWith(sql, 'marker-5b1c'), [])
})
