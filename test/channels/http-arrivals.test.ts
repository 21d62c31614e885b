import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { limitArrival } from '../../services/http/arrivals.ts'
import { until } from '../support.ts'

const LIMIT_MS = 300

async function startServer (t: Test, requestTimeout: number, answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  const server = createServer({ requestTimeout, headersTimeout: 0 }, (request, response) => {
    if (request.url !== '/') exempt(request)
    answer(request, response)
    if (response.writableEnded) watch(request)
  })
  const { exempt, watch } = limitArrival(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

interface Peer { socket: Socket, text: string, isClosed: boolean }

function say (t: Test, port: number, text: string): Peer {
  const socket = connect(port, '127.0.0.1', () => { socket.write(text) })
  const peer: Peer = { socket, text: '', isClosed: false }
  t.teardown(() => { socket.destroy() })
  socket.on('data', data => { peer.text += data.toString() })
  socket.on('error', () => {})
  socket.on('close', () => { peer.isClosed = true })
  return peer
}

const post = (path: string): string => `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n`

t.test('a request that has not arrived in time ends its connection; others may take longer', async t => {
  const arrived: string[] = []
  const held: ServerResponse[] = []
  const port = await startServer(t, LIMIT_MS, (request, response) => {
    if (request.url === '/early') response.end('enough')
    request.resume().on('end', () => {
      arrived.push(request.url ?? '')
      if (request.url === '/held') held.push(response)
      else if (request.url !== '/early') response.end('whole')
    })
  })
  const [streamed, whole, waiting] = [say(t, port, post('/streamed')), say(t, port, `${post('/')}01234`), say(t, port, `${post('/held')}01234`)]
  await until(() => arrived.length === 2)
  // Begun after them, and over before them.
  const slow = say(t, port, `${post('/')}0`)
  const second = say(t, port, `${post('/')}01234${post('/')}0`)
  const early = say(t, port, `${post('/early')}0`)
  await until(() => slow.isClosed && second.isClosed && early.isClosed)
  t.match(early.text, /enough/, 'answered, and no longer exempted')
  t.match(slow.text, /^HTTP\/1\.1 408 .*"code":"RGT_REQUEST_INVALID","retryable":true/s)
  t.match(second.text, /^HTTP\/1\.1 200 .*HTTP\/1\.1 408 /s)
  t.notOk(streamed.isClosed, 'exempted')
  t.notOk(whole.isClosed, 'it has arrived')
  t.notOk(waiting.isClosed, 'it has arrived, and its answer takes its time')
  held[0]?.end('at last')
  streamed.socket.write('01234')
  whole.socket.write(`${post('/')}01234`)
  await until(() => streamed.text.includes('whole') && waiting.text.includes('at last') && whole.text.split('whole').length === 3)
})

t.test('a server without a limit has none', async t => {
  const port = await startServer(t, 0, (request, response) => { request.resume().on('end', () => { response.end('whole') }) })
  const peer = say(t, port, `${post('/')}0`)
  await until(() => peer.socket.bytesWritten > 0)
  peer.socket.write('1234')
  await until(() => peer.text.includes('whole'))
})
