import t from 'tap'
import { connect, startService } from '../support.ts'
import { configure, take } from './consumer.ts'
import { buryNext } from './dead-letters.ts'

const KEY = '0f'.repeat(32)

t.test('dead letters and traces of an encrypted queue', async t => {
  const service = await startService(t, { encryptionKey: KEY })
  const keyless = await startService(t, { databaseUrl: service.databaseUrl })
  const sql = connect(t, service.databaseUrl)
  await configure(service, 'secret', { encryptionEnabled: true })
  await service.call('POST', '/api/v1/push', '{"items":[{"queue":"secret","transactionId":"a","payload":9007199254740993},{"queue":"clear","transactionId":"b","payload":"open"}]}')
  const [message] = await take(service, 'secret?consumerGroup=looker')
  if (message === undefined) throw new Error('nothing was delivered')
  const { partitionId, transactionId } = message
  await service.call('POST', '/api/v1/traces', { partitionId, transactionId, data: 1, traceNames: 'story' })
  await buryNext(service, 'secret', 1)
  await buryNext(service, 'clear', 1)
  t.match(await sql`select line from regent.dead_letters where queue = 'secret'`, [{ line: /"sealed":1}$/ }], 'they are stored as they came')

  t.test('are shown in clear text where the key is', async t => {
    t.ok((await service.call('GET', '/api/v1/dlq?queue=secret')).text.includes('"data":9007199254740993}'))
    t.ok((await service.call('GET', '/api/v1/traces/by-name/story')).text.includes('"message_payload":9007199254740993}'))
  })

  t.test('do not hide the others where it is not', async t => {
    t.match((await keyless.call('GET', '/api/v1/dlq')).json.messages, [
      { queue: 'clear', data: 'open', dataError: undefined },
      { queue: 'secret', transactionId: 'a', errorMessage: 'poison', data: null, dataError: /no key/ }
    ])
    t.match((await keyless.call('GET', '/api/v1/traces/by-name/story')).json, { traces: [{ transaction_id: 'a', data: 1, message_payload: null }] })
  })

  t.test('can be put back without the key', async t => {
    t.match((await keyless.call('POST', '/api/v1/dlq/redrive', { queue: 'secret' })).json, { redriven: 1 })
    const answer = await service.pop('secret')
    t.ok(answer.text.includes('"data":9007199254740993}'), answer.text)
    t.equal(answer.json.messages[0].transactionId, 'a')
  })
})
