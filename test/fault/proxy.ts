import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import type { Test } from 'tap'

/** A statement that the proxy has caught. What it holds back goes on, or never does. */
export interface Caught {
  /** Let it through now; a statement also when its client has gone meanwhile. */
  release: () => void
  /** End its connection towards the client; the server may go on with what it has. */
  cut: () => void
}

interface Trap {
  pattern: RegExp
  /** `statement`: the server does not get it yet. `answer`: it has been carried out, but its client hears nothing. */
  kind: 'statement' | 'answer'
  caught: (caught: Caught) => void
}

/** Where a statement is: about to be prepared or bound, or to be executed. */
type Step = 'begin' | 'execute'

const EXECUTE = 'E'.charCodeAt(0)
const QUERY = 'Q'.charCodeAt(0)
const PARSE = 'P'.charCodeAt(0)
const BIND = 'B'.charCodeAt(0)
// Type and length of a message.
const HEAD = 5
// The server is ready for the next statement, and in no transaction.
const READY = Buffer.from('Z\0\0\0\x05I')

/**
 * Stands between a service and PostgreSQL, counts the statements that pass, and holds back or cuts what a test wants.
 * It reads the frontend protocol far enough to know which statement is being executed.
 */
export class FaultProxy {
  readonly url: string
  /** The texts of all statements executed so far. */
  readonly statements: string[] = []
  readonly #traps: Trap[] = []
  readonly #links = new Set<Link>()

  readonly #server: Server

  private constructor (url: string, server: Server) {
    this.url = url
    this.#server = server
  }

  /** A proxy in front of a database; ends with the test. */
  static async start (t: Test, databaseUrl: string): Promise<FaultProxy> {
    const upstream = new URL(databaseUrl)
    const folder = upstream.searchParams.get('host')
    const port = Number(upstream.searchParams.get('port') ?? (upstream.port || 5432))
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
    const own = new URL(databaseUrl)
    own.search = ''
    own.hostname = '127.0.0.1'
    own.port = String(address.port)
    const proxy = new FaultProxy(own.href, server)
    server.on('connection', client => {
      const target = folder === null ? connect(port, upstream.hostname) : connect(`${folder}/.s.PGSQL.${port}`)
      const link = new Link(client, target, (text, step) => { proxy.#passes(text, step, link) }, () => { proxy.#links.delete(link) })
      proxy.#links.add(link)
    })
    t.teardown(() => {
      server.close()
      proxy.cutAll()
    })
    return proxy
  }

  /** Statements executed so far whose text matches. */
  count (pattern: RegExp): number {
    return this.statements.filter(text => pattern.test(text)).length
  }

  /** Count from here: what a service does to start is not of interest. */
  forget (): void {
    this.statements.length = 0
  }

  /** Catch the next statement that matches, before or after the server has seen it. */
  async catch (kind: Trap['kind'], pattern: RegExp): Promise<Caught> {
    return await new Promise(resolve => { this.#traps.push({ pattern, kind, caught: resolve }) })
  }

  /** The database is away: connections are ended, and new ones refused. */
  async leave (): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.cutAll()
    await closed
  }

  /** It is back, at the same address. */
  async comeBack (): Promise<void> {
    this.#server.listen(Number(new URL(this.url).port), '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** End all connections at once. */
  cutAll (): void {
    for (const link of [...this.#links]) link.destroy()
  }

  #passes (text: string, step: Step, link: Link): void {
    if (step === 'execute') this.statements.push(text)
    // A statement is held back whole: once its first message is with the server, its timeout runs there.
    const kind = step === 'begin' ? 'statement' : 'answer'
    const index = this.#traps.findIndex(trap => trap.kind === kind && trap.pattern.test(text))
    const [trap] = index < 0 ? [] : this.#traps.splice(index, 1)
    if (trap === undefined) return
    link.hold(trap.kind, () => { trap.caught({ release: () => { link.release() }, cut: () => { link.cut() } }) })
  }
}

/** One connection through the proxy. */
class Link {
  readonly #client: Socket
  readonly #target: Socket
  readonly #onStatement: (text: string, step: Step) => void
  readonly #texts = new Map<string, string>()
  #bound = ''
  #incoming: Buffer = Buffer.alloc(0)
  #isStarted = false
  #holding: Trap['kind'] | null = null
  #held: Buffer[] = []
  #onAnswer: () => void = () => {}

  constructor (client: Socket, target: Socket, onStatement: (text: string, step: Step) => void, onEnd: () => void) {
    this.#client = client
    this.#target = target
    this.#onStatement = onStatement
    client.on('error', () => {})
    target.on('error', () => {})
    client.on('data', chunk => { this.#fromClient(chunk) })
    target.on('data', chunk => {
      if (this.#holding !== 'answer') {
        client.write(chunk)
        return
      }
      this.#held.push(chunk)
      if (Buffer.concat(this.#held).subarray(-READY.length).equals(READY)) this.#onAnswer()
    })
    client.on('close', () => {
      if (this.#holding !== 'statement') target.destroy()
    })
    target.on('close', () => {
      client.destroy()
      onEnd()
    })
  }

  /** Hold back from here. `onHeld` is called once the statement has arrived, or once the server has committed it. */
  hold (kind: Trap['kind'], onHeld: () => void): void {
    this.#holding = kind
    if (kind === 'statement') onHeld()
    else this.#onAnswer = onHeld
  }

  release (): void {
    const side = this.#holding === 'statement' ? this.#target : this.#client
    this.#holding = null
    for (const chunk of this.#held.splice(0)) side.write(chunk)
    // The server reads what was sent before the end, and acts on it.
    if (this.#client.destroyed) this.#target.end()
  }

  cut (): void {
    this.#client.destroy()
  }

  destroy (): void {
    this.#client.destroy()
    this.#target.destroy()
  }

  #fromClient (chunk: Buffer): void {
    this.#incoming = Buffer.concat([this.#incoming, chunk])
    for (;;) {
      // Until it has been answered with a password request or welcome, the first message has no type byte.
      const lengthAt = this.#isStarted ? 1 : 0
      if (this.#incoming.length < lengthAt + 4) return
      const end = lengthAt + this.#incoming.readUInt32BE(lengthAt)
      if (this.#incoming.length < end) return
      const message = this.#incoming.subarray(0, end)
      this.#incoming = this.#incoming.subarray(end)
      if (this.#isStarted) this.#read(message)
      this.#isStarted = true
      if (this.#holding === 'statement') this.#held.push(message)
      else this.#target.write(message)
    }
  }

  #read (message: Buffer): void {
    const type = message[0]
    if (type === PARSE) {
      const name = textAt(message, HEAD)
      const text = textAt(message, HEAD + Buffer.byteLength(name) + 1)
      this.#texts.set(name, text)
      this.#onStatement(text, 'begin')
    } else if (type === BIND) {
      this.#bound = textAt(message, HEAD + Buffer.byteLength(textAt(message, HEAD)) + 1)
      this.#onStatement(this.#texts.get(this.#bound) ?? '', 'begin')
    } else if (type === EXECUTE) {
      this.#onStatement(this.#texts.get(this.#bound) ?? '', 'execute')
    } else if (type === QUERY) {
      this.#onStatement(textAt(message, HEAD), 'begin')
      this.#onStatement(textAt(message, HEAD), 'execute')
    }
  }
}

/** The NUL-terminated text at an offset. */
function textAt (message: Buffer, offset: number): string {
  return message.toString('utf8', offset, message.indexOf(0, offset))
}
