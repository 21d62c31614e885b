import t from 'tap'
import { startService } from '../support.ts'
import { pushIds, take, takeIds, takeOne } from './consumer.ts'
import { rawBytes, rawRequest } from './raw-http.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const PARTY = '\u{1f389}'

t.test('habits of the existing clients', async t => {
  const service = await startService(t)

  t.test('a JSON content type on requests without a body', async t => {
    await pushIds(service, 'bodyless', ['a'])
    const popped = await service.call('GET', '/api/v1/pop/queue/bodyless', undefined, { headers: JSON_TYPE })
    t.equal(popped.json.messages.length, 1)
    t.equal((await service.call('GET', '/health', undefined, { headers: JSON_TYPE })).status, 200)
    const deleted = await service.call('DELETE', '/api/v1/resources/queues/bodyless', undefined, { headers: JSON_TYPE })
    t.same(deleted.json, { deleted: true, queue: 'bodyless', existed: true })
    const raw = await rawRequest(service.url, 'DELETE', '/api/v1/resources/queues/bodyless', { ...JSON_TYPE, 'content-length': '0' })
    t.equal(raw.status, 200)
    const extended = await rawRequest(service.url, 'POST', `/api/v1/lease/${popped.json.leaseId}/extend`, { ...JSON_TYPE, 'content-length': '0' })
    t.equal(extended.status, 404, 'read as an extension without a length; the lease went with its queue')
  })

  t.test('a body where none is read', async t => {
    await pushIds(service, 'bodied', ['a'])
    t.match(await rawRequest(service.url, 'GET', '/api/v1/pop/queue/bodied', { ...JSON_TYPE, 'content-length': '4' }, ['junk']), { status: 200, text: /"transactionId":"a"/ })
    t.match(await rawRequest(service.url, 'DELETE', '/api/v1/resources/queues/bodied', { 'content-length': '2' }, ['{}']), { status: 200, text: /"existed":true/ })
    t.match(await rawRequest(service.url, 'DELETE', '/api/v1/resources/queues/bodied', { 'transfer-encoding': 'chunked' }, ['not ', 'JSON']), { status: 200, text: /"existed":false/ })
  })

  t.test('any content type, or none', async t => {
    const body = '{"items":[{"queue":"types","payload":"é"}]}'
    const length = { 'content-length': String(Buffer.byteLength(body)) }
    for (const type of ['application/json', 'application/json; charset=latin1', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'APPLICATION/JSON', 'application/octet-stream', 'garbage', ';', '/', '']) {
      t.equal((await rawRequest(service.url, 'POST', '/api/v1/push', { ...length, 'content-type': type }, [body])).status, 201, type)
    }
    t.equal((await rawRequest(service.url, 'POST', '/api/v1/push', length, [body])).status, 201, 'none')
    const messages = await take(service, 'types?batch=99')
    t.same(messages.map(message => message.data), Array(12).fill('é'), 'always read as UTF-8')
  })

  t.test('a POST without a body where one is needed', async t => {
    for (const path of ['/api/v1/push', '/api/v1/ack', '/api/v1/ack/batch', '/api/v1/transaction', '/api/v1/configure']) {
      for (const headers of [{}, JSON_TYPE, { 'content-length': '0' }, { ...JSON_TYPE, 'content-length': '0' }]) {
        const { status, text } = await rawRequest(service.url, 'POST', path, headers)
        t.equal(status, 400)
        t.same(JSON.parse(text), { success: false, error: 'Empty request body', code: 'RGT_BODY_EMPTY', retryable: false })
      }
    }
  })

  t.test('names encoded in every way that clients do', async t => {
    const names = ['a b', 'a+b', 'a/b', 'a%2Fb', '100%', 'é', PARTY, 'q?x=1&y#z', '..', '.', 'a;b', 'a:b', '*', 'A', '__proto__', "o'x\"\\", 'null', 'x\u001ey\nz']
    await service.push(names.map(name => ({ queue: name, partition: name, payload: name })))
    for (const name of names) {
      const path = encodeURIComponent(name).replaceAll('.', '%2E')
      const { status, text } = await rawRequest(service.url, 'GET', `/api/v1/pop/queue/${path}/partition/${path}?consumerGroup=${encodeURIComponent(name)}`, {})
      t.equal(status, 200, name)
      t.match(JSON.parse(text), { queue: name, partition: name, consumerGroup: name, messages: [{ data: name, queue: name, partition: name, consumerGroup: name }] }, name)
      t.match(JSON.parse((await rawRequest(service.url, 'GET', `/api/v1/pop/queue/${path}?autoAck=true`, {})).text), { queue: name, messages: [{ data: name }] }, name)
    }
    t.match(JSON.parse((await rawRequest(service.url, 'GET', '/api/v1/pop/queue/a+b?consumerGroup=raw', {})).text), { queue: 'a+b', messages: [{ data: 'a+b' }] }, 'a plus in a path is a plus')
    t.match(JSON.parse((await rawRequest(service.url, 'GET', '/api/v1/pop/queue/A?consumerGroup=a+b%2B', {})).text), { consumerGroup: 'a b+', messages: [{ data: 'A' }] }, 'in a query it is a blank')
    for (const name of names) {
      const { text } = await rawRequest(service.url, 'DELETE', `/api/v1/resources/queues/${encodeURIComponent(name).replaceAll('.', '%2E')}`, JSON_TYPE)
      t.same(JSON.parse(text), { deleted: true, queue: name, existed: true })
    }
  })

  t.test('names of 255 characters, whatever their encoding takes', async t => {
    for (const name of ['x'.repeat(255), 'é'.repeat(255), PARTY.repeat(255)]) {
      const [pushed] = (await service.push([{ queue: name, partition: name, transactionId: name, payload: 1 }])).json
      t.equal(pushed.transaction_id, name)
      const path = encodeURIComponent(name)
      const message = await takeOne(service, `${path}/partition/${path}?consumerGroup=${encodeURIComponent(name)}`)
      t.same([message.queue, message.partition, message.transactionId, message.consumerGroup], [name, name, name, name])
      const { transactionId, partitionId, leaseId, consumerGroup } = message
      t.match((await service.call('POST', '/api/v1/ack', { transactionId, partitionId, leaseId, consumerGroup })).json, [{ success: true, queueName: name }])
      t.equal((await service.call('DELETE', `/api/v1/resources/queues/${path}`)).json.existed, true)
    }
  })

  t.test('names that differ in case or in the way a character is composed are different', async t => {
    const names = ['Case', 'case', '\u00e9', 'e\u0301']
    for (const name of names) await pushIds(service, name, [name])
    for (const name of names) t.same(await takeIds(service, `${encodeURIComponent(name)}?batch=9`), [name])
  })

  t.test('preflight and cross-origin requests from a browser', async t => {
    for (const path of ['/api/v1/push', '/api/v1/pop/queue/x', '/health', '/nowhere', '/']) {
      for (const headers of [{}, { origin: 'https://example.org', 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' }]) {
        const answer = await service.call('OPTIONS', path, undefined, { headers })
        t.equal(answer.status, 204)
        t.equal(answer.text, '')
        t.equal(answer.headers.get('access-control-allow-origin'), '*')
        t.equal(answer.headers.get('access-control-allow-methods'), 'GET, POST, PUT, DELETE, OPTIONS')
        t.equal(answer.headers.get('access-control-allow-headers'), 'Content-Type, Authorization, traceparent, tracestate')
        t.equal(answer.headers.get('access-control-max-age'), '86400')
        t.equal(answer.headers.get('access-control-allow-credentials'), null)
      }
    }
    const answers = [await service.pop('x'), await service.push([]), await service.push([{}]), await service.call('GET', '/nowhere')]
    t.same(answers.map(answer => [answer.status, answer.headers.get('access-control-allow-origin')]), [[200, '*'], [201, '*'], [400, '*'], [404, '*']])
  })

  t.test('unknown routes and methods answer 404 in JSON', async t => {
    const unknown: [string, string][] = [
      ['GET', '/'], ['GET', '/api/v1/nothing'], ['GET', '/api/me'], ['POST', '/nowhere'], ['PUT', '/api/v1/push'], ['GET', '/api/v1/push'],
      ['DELETE', '/api/v1/push'], ['PATCH', '/api/v1/ack'], ['POST', '/api/v1/pop/queue/x'], ['POST', '/health'], ['GET', '/api/v1/pop/queue/a/b'],
      ['GET', '/API/V1/pop/queue/x'], ['POST', '/api/v1/push/'], ['GET', '/api/v1/lease/x/extend']
    ]
    for (const [method, path] of unknown) {
      const answer = await service.call(method, path)
      t.equal(answer.status, 404, `${method} ${path}`)
      t.match(answer.headers.get('content-type'), /^application\/json/)
      t.same(answer.json, { success: false, error: 'Route not found', code: 'RGT_ROUTE_NOT_FOUND', retryable: false })
    }
  })

  t.test('HEAD does not pop: its answer has no body to carry messages', async t => {
    await pushIds(service, 'head', ['a'])
    for (const path of ['/api/v1/pop/queue/head?autoAck=true', '/api/v1/pop/queue/head', '/api/v1/pop/queue/head/partition/Default', '/api/v1/pop?namespace=head']) {
      t.equal((await service.call('HEAD', path)).status, 404)
    }
    t.same(await takeIds(service, 'head'), ['a'])
  })

  t.test('pipelined requests are answered in order on one connection', async t => {
    const text = await rawBytes(service.url, ['one', 'two'].map(name =>
      `GET /api/v1/pop/queue/${name} HTTP/1.1\r\nHost: x\r\n\r\n`).join('') + 'GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    t.match(text, /200 OK[^]*"queue":"one"[^]*200 OK[^]*"queue":"two"[^]*404 Not Found[^]*RGT_ROUTE_NOT_FOUND/)
  })
})
