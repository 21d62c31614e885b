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
import { surveyOf } from './survey.ts'
import type { Survey } from './survey.ts'
import { Tally } from './tally.ts'
import type { Transport, TransportKind } from './transport.ts'
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
  #closing: Promise<void> | null = null
  #allClosed: () => void = () => {}

  constructor (options: BrokerOptions) {
    const { limits, clock } = options
    this.#options = options
    this.#deadlines = new Deadlines(clock)
    this.#endings = new Endings(this.#deadlines, this.tally)
    this.#pairing = new Pairing({ limits, deadlines: this.#deadlines, endings: this.#endings, tally: this.tally })
    this.#relay = new Relay(this.#clients, this.#endings, this.tally)
    this.#departure = new Departure(this.#endings, this.#pairing)
  }

  connect (transport: Transport, kind: TransportKind = 'tcp'): Connection {
    const connection = new Connection({
      transport,
      kind,
      deadlines: this.#deadlines,
      limits: this.#options.limits,
      owner: {
        take: (from, frame) => this.#take(from, frame),
        left: (who, reason) => { this.#leave(who, reason) },
        closed: who => { this.#forget(who) }
      }
    })
    this.#connections.add(connection)
    if (this.#closing !== null) connection.finish('stopping')
    return connection
  }

  /** There are as many connections as there may be: no other should be made. */
  get isFull (): boolean {
    return this.#connections.size >= this.#options.limits.maxConnections
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

  /** Connections at this moment, by how they came. */
  connectionsByKind (): Record<TransportKind, number> {
    const counts = { tcp: 0, websocket: 0, http: 0, local: 0 }
    for (const { kind } of this.#connections) counts[kind]++
    return counts
  }

  /** What there is at this moment, channel by channel: those with most waiting requests first, and `most` of them. */
  survey (most: number): Survey {
    return surveyOf(this.#channels.values(), most, this.#deadlines.now)
  }

  /** What is left of a request's time, in milliseconds; null: it is over. */
  remainingMs (senderId: Id, requestId: Id): number | null {
    const deadline = this.#clients.get(senderId)?.requests.get(requestId)?.deadline
    return deadline == null ? null : Math.max(0, deadline.at - this.#deadlines.now)
  }

  /** Tells everybody with a live operation that it is over, sends what there is to send, and closes. */
  async close (): Promise<void> {
    this.#closing ??= this.#closeAll()
    await this.#closing
  }

  async #closeAll (): Promise<void> {
    for (const client of this.#clients.values()) this.#endings.breakOff(client, STOPPING)
    const closed = new Promise<void>(resolve => { this.#allClosed = resolve })
    for (const connection of [...this.#connections]) {
      this.#leave(connection, STOPPING)
      connection.finish('stopping')
    }
    if (this.#connections.size > 0) await closed
    this.#deadlines.clearAll()
  }

  #take (connection: Connection, frame: Frame): Connection | null {
    const refusal = refusalOf(frame, connection.client)
    const recipient = refusal === null ? this.#recipient(connection, frame) : connection
    if (recipient?.isFull === true) return recipient
    this.tally.frames++
    this.tally.payloadBytes += frame.payloadBytes
    if (refusal !== null) {
      this.#refuse(connection, frame, refusal)
      return null
    }
    const client = connection.client ?? this.#register(connection, frame)
    if (client === null) this.#refuse(connection, frame, { text: 'client id in use', closing: 'invalid' })
    else this.#route(client, frame)
    return null
  }

  /** Whose output a frame would add to; null: nobody's. */
  #recipient (connection: Connection, frame: Frame): Connection | null {
    const { client } = connection
    // Who does not read what it was sent opens nothing more.
    if (client === null || opens(frame)) return connection
    if (frame.flags === ROLE.receive) return hasStrayPayload(frame) ? connection : null
    return this.#relay.recipient(client, frame)?.connection ?? null
  }

  #route (client: Client, frame: Frame): void {
    if (frame.flags === ROLE.response) this.#relay.fromReceiver(client, frame)
    else if (frame.flags === ROLE.request && opens(frame)) this.#pairing.open(client, frame)
    else if (frame.flags === ROLE.request) this.#relay.fromSender(client, frame)
    else if (opens(frame)) this.#pairing.claim(client, frame)
    else this.#poll(client, frame)
  }

  /** Receivers ask for each frame that they wait for. They get it when it comes, asked for or not. */
  #poll (receiver: Client, frame: Frame): void {
    if (!hasStrayPayload(frame)) return
    this.tally.invalid++
    receiver.fail(frame.requestId, STRAY_PAYLOAD)
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

  #refuse (connection: Connection, frame: Frame, { text, closing }: Refusal): void {
    this.tally.invalid++
    const { client } = connection
    // A response is addressed to somebody else; without a client there is nobody to name.
    const clientId = client?.id ?? (frame.flags === ROLE.response ? NIL : frame.clientId)
    const to = frame.fault === 'version' ? { ...NOBODY, clientId } : { requestId: frame.requestId, clientId, channelId: client?.channel.id ?? frame.channelId }
    connection.write([encodeError(to, text)])
    if (closing !== null) {
      this.#leave(connection, text)
      connection.finish(closing)
    }
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

/** Whether a frame begins an operation of its writer's own. */
function opens ({ type, flags }: Frame): boolean {
  return type === TYPE.start && flags !== ROLE.response
}
