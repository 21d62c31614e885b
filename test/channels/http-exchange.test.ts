import t from 'tap'
import { HttpChannel, startHttpChannel, textOf, whole } from './http-peer.ts'
import { PollingClient } from './polling-client.ts'

t.test('channels over HTTP', async t => {
  const home = await startHttpChannel(t, { maxBodyBytes: 1024 })
  const { service } = home
  t.afterEach(async () => { await home.isEmpty() })

  t.test('a request is read, and replied to, by whoever asks for the next one', async t => {
    const asked = home.ask('hello', '?timeout=45000')
    const { id, path, remainingMs, answer } = await home.taken()
    t.equal(answer.headers['content-type'], 'application/octet-stream')
    t.match(id, /^[0-9a-f-]{36}$/)
    t.equal(path, `${home.path}/${id}/reply`)
    t.ok(remainingMs > 0 && remainingMs <= 45_000, `${remainingMs} ms are left`)
    t.equal(await textOf(answer), 'hello')
    const replied = await whole(home.reply({ path }, 'HELLO'))
    t.match(replied, { status: 200, json: { success: true } })
    const { status, headers, text } = await whole(asked)
    t.match({ status, text }, { status: 200, text: 'HELLO' })
    t.equal(headers['content-type'], 'application/octet-stream')
  })

  t.test('a receiver may come first, and both messages may be empty', async t => {
    const next = home.next()
    await home.waiting('claims', 1)
    const asked = home.ask('')
    const taken = await home.taken(next)
    t.equal(await textOf(taken.answer), '')
    t.equal((await whole(home.reply(taken, ''))).status, 200)
    t.match(await whole(asked), { status: 200, text: '' })
  })

  t.test('messages may have any content type, any bytes, and more of them than other bodies', async t => {
    for (const type of ['application/json', 'text/plain; charset=utf-16', 'nonsense', undefined]) {
      const message = Buffer.from(Array.from({ length: 5000 }, (_, at) => at % 256))
      const asked = home.call('POST', home.path, type === undefined ? {} : { 'content-type': type })
      asked.outgoing.end(message)
      const taken = await home.taken()
      const { body } = await whole({ outgoing: asked.outgoing, answer: Promise.resolve(taken.answer) })
      t.ok(body.equals(message), String(type))
      const replied = home.call('POST', taken.path, { 'content-type': 'application/json' })
      replied.outgoing.end(message)
      t.equal((await whole(replied)).status, 200)
      t.ok((await whole(asked)).body.equals(message))
    }
  })

  t.test('what is replied arrives as it is replied, while the request is still being read', async t => {
    const asked = home.call('POST', home.path)
    asked.outgoing.write('one')
    const taken = await home.taken()
    const read = taken.answer[Symbol.asyncIterator]()
    t.equal(String((await read.next()).value), 'one')
    const replying = home.call('POST', taken.path)
    replying.outgoing.write('ONE')
    const reply = (await asked.answer)[Symbol.asyncIterator]()
    t.equal(String((await reply.next()).value), 'ONE')
    asked.outgoing.end('two')
    t.equal(String((await read.next()).value), 'two')
    t.equal((await read.next()).done, true)
    replying.outgoing.end('TWO')
    t.equal(String((await reply.next()).value), 'TWO')
    t.equal((await reply.next()).done, true)
    t.equal((await whole(replying)).status, 200)
  })

  t.test('a receiver learns of a request before anything of it has come', async t => {
    const asked = home.call('POST', home.path)
    asked.outgoing.flushHeaders()
    const taken = await home.taken()
    asked.outgoing.end('late')
    t.equal(await textOf(taken.answer), 'late')
    t.equal((await whole(home.reply(taken, 'reply'))).status, 200)
    t.equal((await whole(asked)).text, 'reply')
  })

  t.test('a sender over HTTP and a receiver over TCP', async t => {
    const raw = await home.raw(t)
    const received = new PollingClient(raw).receive(message => message.toUpperCase())
    t.match(await whole(home.ask('hello')), { status: 200, text: 'HELLO' })
    t.type(await received, 'string')
    raw.socket.destroy()
  })

  t.test('a sender over TCP and a receiver over HTTP', async t => {
    const raw = await home.raw(t)
    const sent = new PollingClient(raw).send('hello')
    const taken = await home.taken()
    t.equal(await textOf(taken.answer), 'hello')
    t.equal((await whole(home.reply(taken, 'HELLO'))).status, 200)
    t.equal(await sent, 'HELLO')
    t.ok(await raw.isQuiet())
    raw.socket.destroy()
  })

  t.test('channels have nothing to do with each other, and requests are replied to in the order that suits', async t => {
    const other = new HttpChannel(t, service.url)
    const [first, second] = [home.ask('first'), other.ask('second')]
    const taken = [await home.taken(), await other.taken()] as const
    t.same([await textOf(taken[0].answer), await textOf(taken[1].answer)], ['first', 'second'])
    t.equal((await whole(other.reply(taken[1], 'SECOND'))).status, 200)
    t.equal((await whole(home.reply(taken[0], 'FIRST'))).status, 200)
    t.same([(await whole(first)).text, (await whole(second)).text], ['FIRST', 'SECOND'])
  })

  t.test('who does not wait is told at once whether there is a request', async t => {
    for (const query of ['', '?wait=false', '?timeout=60000', '?wait=true&timeout=1']) t.equal((await whole(home.next(query))).status, 204, query)
    const asked = home.ask('hello')
    await home.waiting('queued', 1)
    const taken = await home.taken(home.next(''))
    t.equal(await textOf(taken.answer), 'hello')
    t.equal((await whole(home.reply(taken, ''))).status, 200)
    t.equal((await whole(asked)).status, 200)
  })

  t.test('scripts of other origins see what they need, and nobody takes a request with HEAD', async t => {
    const asked = home.ask('')
    const { answer, path } = await home.taken()
    t.equal(answer.headers['access-control-expose-headers'], 'x-channel-request, x-channel-timeout, location, traceparent, tracestate')
    answer.resume()
    t.equal((await service.call('HEAD', `${home.path}/next`)).status, 404)
    t.equal((await whole(home.reply({ path }, ''))).status, 200)
    await whole(asked)
  })

  t.test('each is a client of its channel as long as its exchange lasts', async t => {
    const asked = home.ask('hello')
    const taken = await home.taken()
    await textOf(taken.answer)
    t.match((await service.call('GET', '/api/v1/status/channels')).json, {
      connections: { http: 2, tcp: 0 },
      channels: [{ channel: home.channel, clients: 2, queued: 0, exchanges: 1 }]
    })
    t.equal((await whole(home.reply(taken, ''))).status, 200)
    await whole(asked)
  })
})

t.test('the reply goes where the service is mounted', async t => {
  const home = await startHttpChannel(t, { prefix: '/mq' })
  const mounted = `/mq${home.path}`
  const asked = home.call('POST', mounted)
  asked.outgoing.end('hello')
  const next = home.call('GET', `${mounted}/next?wait=true`)
  next.outgoing.end()
  const taken = await home.taken(next)
  t.equal(taken.path, `${mounted}/${taken.id}/reply`)
  t.equal((await whole(home.reply(taken, 'HELLO'))).status, 200)
  t.equal((await whole(asked)).text, 'HELLO')
})
