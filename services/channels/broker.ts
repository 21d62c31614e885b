import { Channel } from './channel.ts'
import { Client } from './client.ts'
import { Connection } from './connection.ts'
import { Deadlines } from './deadlines.ts'
import type { Clock } from './deadlines.ts'
import { Departure } from './departure.ts'
import { Endings } from './endings.ts'
import { NOBODY, encodeError } from './frame.ts'
import type { Frame } from './frame.ts'
import { STRAY_PAYLOAD, hasStrayPayload, refusalOf } from './frame-rules.ts'
import type { Refusal } from './frame-rules.ts'
import type { ChannelLimits } from './limits.ts'
import { Pairing } from './pairing.ts'
import { Relay } from './relay.ts'
import { Tally } from './tally.ts'
import type { Transport } from './transport.ts'
import { NIL, ROLE, TYPE } from './wire.ts'
import type { Id } from './wire.ts'

export interface BrokerOptions {
  limits: ChannelLimits
  log: { debug: (fields: object, message: string) => void }
  clock?: Clock
}

/** What there is at this moment. */
export interface BrokerFigures {
  connections: number
  clients: number
  channels: number
  /** Requests that are live, and those of them that wait for a receiver. */
  requests: number
  queued: number
  /** Receivers' claims that wait for a request. */
  claims: number
  /** Output that clients have not taken yet. */
  pendingBytes: number
  deadlines: number
}

const STOPPING = 'server is stopping'

/**
 * Gives each request of a channel to one receiver of it and carries the two's frames. Nothing is stored and nothing is
 * looked for: it acts when a frame comes, when a client leaves and when a deadline passes.
 */
export class Broker {
  readonly tally = new Tally()
  readonly #options: BrokerOptions
  readonly #deadlines: Deadlines
  readonly #endings: Endings
  readonly #pairing: Pairing
  readonly #relay: Relay
  readonly #departure: Departure
  readonly #connections = new Set<Connection>()
  readonly #clients = new Map<Id, Client>()
  readonly #channels = new Map<Id, Channel>()
  #isClosing = false
  #allClosed: () => void = () => {}

  constructor (options: BrokerOptions) {
    const { limits, clock } = options
    this.#options = options
    this.#deadlines = new Deadlines(clock)
    this.#endings = new Endings(this.#deadlines, this.tally)
    this.#pairing = new Pairing({ limits, deadlines: this.#deadlines, endings: this.#endings, tally: this.tally })
    this.#relay = new Relay(this.#endings, this.tally)
    this.#departure = new Departure(this.#endings, this.#pairing)
  }

  connect (transport: Transport): Connection {
    const connection = new Connection({
      transport,
      deadlines: this.#deadlines,
      limits: this.#options.limits,
      owner: {
        take: (from, frame) => this.#take(from, frame),
        left: (who, reason) => { this.#leave(who, reason) },
        closed: who => { this.#forget(who) }
      }
    })
    this.#connections.add(connection)
    if (this.#isClosing) connection.finish()
    return connection
  }

  figures (): BrokerFigures {
    const figures = { connections: this.#connections.size, clients: this.#clients.size, channels: this.#channels.size, requests: 0, queued: 0, claims: 0, pendingBytes: 0, deadlines: this.#deadlines.size }
    for (const channel of this.#channels.values()) {
      figures.queued += channel.requests.size
      figures.claims += channel.claims.size
    }
    for (const client of this.#clients.values()) figures.requests += client.requests.size
    for (const connection of this.#connections) figures.pendingBytes += connection.pendingBytes
    return figures
  }

  /** Tells everybody with a live operation that it is over, sends what there is to send, and closes. */
  async close (): Promise<void> {
    this.#isClosing = true
    for (const client of this.#clients.values()) this.#endings.breakOff(client, STOPPING)
    const closed = new Promise<void>(resolve => { this.#allClosed = resolve })
    for (const connection of [...this.#connections]) {
      this.#leave(connection, STOPPING)
      connection.finish()
    }
    if (this.#connections.size > 0) await closed
    this.#deadlines.clearAll()
  }

  #take (connection: Connection, frame: Frame): Connection | null {
    this.tally.frames++
    this.tally.payloadBytes += frame.payloadBytes
    const refusal = refusalOf(frame, connection.client)
    if (refusal !== null) return this.#refuse(connection, frame, refusal)
    const client = connection.client ?? this.#register(connection, frame)
    if (client === null) return this.#refuse(connection, frame, { text: 'client id in use', isFatal: true })
    return this.#route(client, frame)?.connection ?? null
  }

  #route (client: Client, frame: Frame): Client | null {
    if (frame.flags === ROLE.response) return this.#relay.fromReceiver(client, this.#clients.get(frame.clientId), frame)
    if (frame.type !== TYPE.start) return frame.flags === ROLE.receive ? this.#poll(client, frame) : this.#relay.fromSender(client, frame)
    if (frame.flags === ROLE.request) this.#pairing.open(client, frame)
    else this.#pairing.claim(client, frame)
    // Who does not read what it was sent opens nothing more.
    return client
  }

  /** Receivers ask for each frame that they wait for. They get it when it comes, asked for or not. */
  #poll (receiver: Client, frame: Frame): Client | null {
    if (!hasStrayPayload(frame)) return null
    this.tally.invalid++
    receiver.fail(frame.requestId, STRAY_PAYLOAD)
    return receiver
  }

  #register (connection: Connection, frame: Frame): Client | null {
    if (this.#clients.has(frame.clientId)) return null
    let channel = this.#channels.get(frame.channelId)
    if (channel === undefined) this.#channels.set(frame.channelId, channel = new Channel(frame.channelId))
    channel.clients++
    const client = new Client(frame.clientId, channel, connection)
    this.#clients.set(client.id, client)
    connection.client = client
    return client
  }

  #refuse (connection: Connection, frame: Frame, { text, isFatal }: Refusal): Connection {
    this.tally.invalid++
    const { client } = connection
    // A response is addressed to somebody else; without a client there is nobody to name.
    const clientId = client?.id ?? (frame.flags === ROLE.response ? NIL : frame.clientId)
    const to = frame.fault === 'version' ? { ...NOBODY, clientId } : { requestId: frame.requestId, clientId, channelId: client?.channel.id ?? frame.channelId }
    connection.write([encodeError(to, text)])
    if (isFatal) {
      this.#leave(connection, text)
      connection.finish()
    }
    return connection
  }

  #leave (connection: Connection, reason: string): void {
    const { client } = connection
    if (client === null || this.#clients.get(client.id) !== client) return
    this.#clients.delete(client.id)
    this.#departure.of(client)
    if (--client.channel.clients === 0) this.#channels.delete(client.channel.id)
    this.#options.log.debug({ reason }, 'a channel client has left')
  }

  #forget (connection: Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) this.#allClosed()
  }
}
