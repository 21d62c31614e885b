import { createHash, randomBytes } from 'node:crypto'
import type { ClientRequest, IncomingMessage } from 'node:http'
import t from 'tap'
import { notOnLinux, startServer } from '../fault/server-under-test.ts'
import { request, until } from '../support.ts'
import { HttpChannel, textOf, whole } from './http-peer.ts'

const MIB = 1024 * 1024
const MESSAGE = 64 * MIB
// What is on its way, and what the garbage collector has not taken yet; a message kept whole would come on top.
const ROOM_MB = 120
const PIECE = randomBytes(256 * 1024)

/** Writes the message as fast as it is taken. @returns how much was */
function pour (outgoing: ClientRequest): () => number {
  let written = 0
  const write = (): void => {
    while (written < MESSAGE) {
      written += PIECE.length
      if (!outgoing.write(PIECE)) break
    }
    if (written < MESSAGE) outgoing.once('drain', write)
    else outgoing.end()
  }
  write()
  return () => written
}

const EXPECTED = (() => {
  const hash = createHash('sha256')
  for (let at = 0; at < MESSAGE; at += PIECE.length) hash.update(PIECE)
  return hash.digest('hex')
})()

async function hashOf (message: IncomingMessage): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of message) hash.update(part as Buffer) // nothing decodes it
  return hash.digest('hex')
}

/** Nothing more was written for a while: everything on the way is full. */
async function blocked (written: () => number): Promise<void> {
  let before = -1
  let looks = 0
  await until(() => {
    looks = written() === before ? looks + 1 : 0
    before = written()
    return looks > 30
  }, 30_000)
}

t.test('messages far larger than the memory they take', { skip: notOnLinux }, async t => {
  const { url, rssMb } = await startServer(t, { env: { CHANNELS_STALL_TIMEOUT: '60000' } })
  const home = new HttpChannel(t, url)
  const before = rssMb()
  let peakMb = before
  const watch = setInterval(() => { peakMb = Math.max(peakMb, rssMb()) }, 20)
  t.teardown(() => { clearInterval(watch) })

  const asked = home.call('POST', `${home.path}?timeout=200000`)
  const written = pour(asked.outgoing)
  await blocked(written)
  t.ok(written() < 32 * MIB, `${written() / MIB} MiB left the sender before there was a receiver`)
  const taken = await home.taken()
  await blocked(written)
  t.ok(written() < 48 * MIB, `${written() / MIB} MiB left the sender while nobody read`)
  t.equal((await request(`${url}/health`)).status, 200)
  t.equal(await hashOf(taken.answer), EXPECTED, 'the request')

  const replying = home.call('POST', taken.path)
  const replied = pour(replying.outgoing)
  const answer = await asked.answer
  await blocked(replied)
  t.ok(replied() < 48 * MIB, `${replied() / MIB} MiB left the receiver while nobody read`)
  t.equal(await hashOf(answer), EXPECTED, 'the reply')
  t.equal((await whole(replying)).status, 200)
  t.ok(peakMb < before + ROOM_MB, `${Math.round(peakMb - before)} MB more than before`)
})

t.test('readers that read nothing for too long', async t => {
  const { url } = await startServer(t, { env: { CHANNELS_STALL_TIMEOUT: '3000' } })
  const home = new HttpChannel(t, url)

  t.test('a receiver: the sender is told, and what it was sent is cut', async t => {
    const asked = home.call('POST', home.path)
    pour(asked.outgoing)
    const taken = await home.taken()
    t.match(await whole(asked), { status: 502, json: { code: 'RGT_CHANNEL_RECEIVER_LEFT' } })
    await t.rejects(textOf(taken.answer), { code: 'ECONNRESET' })
  })

  t.test('a sender: the receiver is told, and the reply is cut', async t => {
    const asked = home.ask('hello')
    const taken = await home.taken()
    await textOf(taken.answer)
    const replying = home.call('POST', taken.path)
    pour(replying.outgoing)
    const answer = await asked.answer
    t.match(await whole(replying), { status: 410, json: { code: 'RGT_CHANNEL_REQUEST_OVER' } })
    await t.rejects(textOf(answer), { code: 'ECONNRESET' })
  })

  t.test('one that reads slowly, and longer than that, gets all of it', async t => {
    const asked = home.call('POST', `${home.path}?timeout=200000`)
    pour(asked.outgoing)
    const taken = await home.taken()
    const hash = createHash('sha256')
    let bytes = 0
    const began = performance.now()
    for await (const part of taken.answer) {
      hash.update(part as Buffer)
      bytes += (part as Buffer).length
      // In all well beyond the limit, and never near it.
      if (bytes < 10 * MIB) await until(() => performance.now() - began > bytes / MIB * 400)
    }
    t.equal(hash.digest('hex'), EXPECTED)
    t.equal((await whole(home.reply(taken, ''))).status, 200)
    t.equal((await whole(asked)).status, 200)
  })
})

t.test('a request may take longer to arrive than others are given', { skip: notOnLinux }, async t => {
  const { url } = await startServer(t, { isImpatient: true })
  const home = new HttpChannel(t, url)
  const asked = home.call('POST', `${home.path}?timeout=200000`)
  asked.outgoing.write('begun, ')
  const taken = await home.taken()
  const replying = home.call('POST', taken.path)
  replying.outgoing.write('BEGUN, ')
  const answer = await asked.answer
  // Begun later.
  const push = home.call('POST', '/api/v1/push')
  push.outgoing.write('{')
  t.equal((await whole(push)).status, 408)
  asked.outgoing.end('done')
  t.equal(await textOf(taken.answer), 'begun, done')
  replying.outgoing.end('DONE')
  t.equal(await textOf(answer), 'BEGUN, DONE')
  t.equal((await whole(replying)).status, 200)
})
