import { join } from 'node:path'
import { AUTH_OPTIONS, authFaults } from './auth/options.ts'
import type { AuthOptions } from './auth/options.ts'
import { keyFault, pairFault, ringFault } from './encryption/keys.ts'
import { RegentError } from './errors.ts'
import type { Rule } from './option-rule.ts'

/** The options of the embeddable plugin. All have defaults except where the database is. */
export interface RegentOptions extends AuthOptions {
  /** Where the routes are mounted. */
  prefix: string
  /** Whether the description of the API and its page are served. */
  documentation: boolean
  /** Name of the decorator on the host; two services in one app need two. */
  decorator: string
  /** Connection string; wins over the parts below. */
  databaseUrl: string | undefined
  /** Connection string of a pooler in transaction mode in front of the same database: calls go through it. */
  databasePoolerUrl: string | undefined
  databaseHost: string | undefined
  databasePort: number
  databaseName: string
  databaseUser: string
  databasePassword: string
  databaseSsl: boolean
  /** False: any certificate of the database is accepted. */
  databaseSslRejectUnauthorized: boolean
  /** Schema that holds tables and functions. */
  databaseSchema: string
  poolSize: number
  connectTimeoutMs: number
  statementTimeoutMs: number
  lockTimeoutMs: number
  /** What a single call to the database may take, in milliseconds; then the request is answered 503. */
  callTimeoutMs: number
  /** Long-poll limit of a pop that names none. */
  defaultTimeoutMs: number
  defaultBatchSize: number
  /** Start of a new consumer group whose pop names none: empty, all (earliest) or new (new-only, latest). */
  defaultSubscriptionMode: string
  maxBodyBytes: number
  /** Items in one push, acknowledgements in one batch, operations in one transaction. */
  maxItems: number
  /** Nesting of a payload. */
  maxDepth: number
  maxBatchSize: number
  /** Pops that may wait for messages at once; one more is answered 503. */
  maxParkedPops: number
  /** Parked pops are looked at this often in case a wake-up was lost; 0: never. */
  safetyNetMs: number
  dedupMemoryMb: number
  deliveryMemoryMb: number
  /** Event-loop delay from which pushes are answered 503; 0: never. */
  maxEventLoopDelayMs: number
  /** Heap in use from which pushes are answered 503; 0: never; undefined: most of what V8 allows. */
  maxHeapUsedMb: number | undefined
  /** Memory of the whole process from which they are; 0: never. */
  maxRssMb: number
  /** Requests of one client within a window, and its length; one more is answered 429. 0: as many as it likes. */
  rateLimitRequests: number
  rateLimitWindowMs: number
  /** Milliseconds between runs of retention and of eviction, and messages per step of each. */
  retentionIntervalMs: number
  evictionIntervalMs: number
  retentionBatchSize: number
  evictionBatchSize: number
  /** Days after which idle partitions, metrics, dead letters and traces are deleted; 0: never. */
  partitionCleanupDays: number
  metricsRetentionDays: number
  deadLetterRetentionDays: number
  traceRetentionDays: number
  /** Between two samples of this process's figures. */
  metricsSampleMs: number
  /** Between two writes of counts and figures to the history. */
  metricsAggregateSeconds: number
  /** Pairs of queue and consumer group whose lag is shown one by one; the others are shown together. */
  metricsMaxQueues: number
  /** Folder of the file buffer, for this process alone; undefined: there is none, and pushes are refused while the database is away. */
  fileBufferDir: string | undefined
  /** Disk space it may take. */
  fileBufferMaxMb: number
  /** Pushes per file of it. */
  fileBufferEventsPerFile: number
  /** Messages moved from it to the database by one call, and the time between two looks at a database that is away. */
  fileBufferMaxBatch: number
  fileBufferFlushMs: number
  /** TCP port of the channels; 0: any free one; undefined: none is opened. */
  channelsPort: number | undefined
  channelsHost: string
  /** Connections at once; requests of a channel that wait for a receiver; live operations of one client in each role. */
  channelsMaxConnections: number
  channelsMaxQueued: number
  channelsMaxOperations: number
  /** Output waiting for a client from which on those who write to it are not read. */
  channelsMaxPendingBytes: number
  /** How long a client may accept nothing of its waiting output; take for a frame that it has begun. */
  channelsStallMs: number
  channelsFrameMs: number
  /** Of an operation that names no timeout. */
  channelsDefaultTimeoutMs: number
  /** For what is still to be sent when a connection is closed. */
  channelsCloseMs: number
  workerId: string
  /** The key that payloads of encrypted queues are sealed with: 64 hex digits. */
  encryptionKey: string | undefined
  /** Several of them, `kid:hex,kid:hex…`: the first seals, all open. */
  encryptionKeys: string | undefined
}

/** The options `npm start` has besides. */
export interface ServerOptions {
  port: number
  host: string
  logLevel: string
  /** Folder of the embedded database. */
  dataDir: string
  maxHeaderBytes: number
  /**
   * For a request's head to arrive, for the rest of it, and between one and the next of a connection. What clients wait for
   * counts for none of them: a long poll may last as long as it asks for, and what is streamed through a channel as long as
   * its own timeout lets it.
   */
  headersTimeoutMs: number
  requestTimeoutMs: number
  keepAliveTimeoutMs: number
  shutdownTimeoutMs: number
  /** Processes that serve requests. */
  workers: number
}

const NO_BUFFER = 'off'
const MAX_INT = 2_147_483_647
const POSTGRES_URL = /^postgres(ql)?:\/\/./
const URL_HINT = 'must begin with postgres:// or postgresql://'

/** The embeddable plugin's options: environment name, default, bounds. */
export const REGENT_OPTIONS: { readonly [K in keyof RegentOptions]: Rule } = {
  prefix: { env: 'ROUTE_PREFIX', default: '', pattern: /^(\/[^\s/]+)*$/, hint: 'must be empty or begin with / and not end with it', doc: 'Where the routes are mounted' },
  documentation: { env: 'DOCUMENTATION', default: true, doc: 'The description of the API is served, with a page to read it: /openapi.json and /documentation' },
  decorator: { env: 'DECORATOR', default: 'regent', pattern: /^[A-Za-z_$][\w$]*$/, hint: 'must be an identifier', doc: 'Name of the decorator on the host application' },
  databaseUrl: { env: 'DATABASE_URL', default: undefined, pattern: POSTGRES_URL, hint: URL_HINT, doc: 'Connection string of the database; wins over PG_*' },
  databasePoolerUrl: { env: 'DB_POOLER_URL', default: undefined, pattern: POSTGRES_URL, hint: URL_HINT, doc: 'Connection string of a pooler in transaction mode (PgBouncer) for calls; DATABASE_URL stays direct' },
  databaseHost: { env: 'PG_HOST', default: undefined, doc: 'Database host, or the folder of its socket' },
  databasePort: { env: 'PG_PORT', default: 5432, min: 1, max: 65535, doc: 'Database port' },
  databaseName: { env: 'PG_DB', default: 'postgres', doc: 'Database name' },
  databaseUser: { env: 'PG_USER', default: 'postgres', doc: 'Database user' },
  databasePassword: { env: 'PG_PASSWORD', default: 'postgres', doc: 'Database password' },
  databaseSsl: { env: 'PG_USE_SSL', default: false, doc: 'TLS to the database' },
  databaseSslRejectUnauthorized: { env: 'PG_SSL_REJECT_UNAUTHORIZED', default: true, doc: 'false: accept any certificate of the database' },
  databaseSchema: { env: 'DB_SCHEMA', default: 'regent', pattern: /^[a-z_][a-z0-9_]{0,47}$/, hint: 'must be at most 48 lower-case letters, digits and underscores', doc: 'Schema for tables and functions' },
  poolSize: { env: 'DB_POOL_SIZE', overriddenBy: 'SIDECAR_POOL_SIZE', default: 20, min: 2, max: 1000, doc: 'Database connections of this process (SIDECAR_POOL_SIZE wins, as the request path of the compatible server)' },
  connectTimeoutMs: { env: 'DB_CONNECTION_TIMEOUT', default: 2000, min: 100, max: 600_000, unit: 'ms', doc: 'Longest wait for a connection' },
  statementTimeoutMs: { env: 'DB_STATEMENT_TIMEOUT', default: 30_000, min: 100, max: MAX_INT, unit: 'ms', doc: 'Longest statement; never more than DB_CALL_TIMEOUT' },
  lockTimeoutMs: { env: 'DB_LOCK_TIMEOUT', default: 10_000, min: 10, max: MAX_INT, unit: 'ms', doc: 'Longest wait for a lock' },
  callTimeoutMs: { env: 'DB_CALL_TIMEOUT', default: 10_000, min: 200, max: 600_000, unit: 'ms', doc: 'Longest single call to the database; a request may need several, and is then answered 503' },
  defaultTimeoutMs: { env: 'DEFAULT_TIMEOUT', default: 30_000, min: 0, max: MAX_INT, unit: 'ms', doc: 'Long-poll limit of a pop that names none' },
  defaultBatchSize: { env: 'DEFAULT_BATCH_SIZE', default: 1, min: 1, max: 100_000, doc: 'Batch of a pop that names none' },
  defaultSubscriptionMode: { env: 'DEFAULT_SUBSCRIPTION_MODE', default: '', oneOf: ['', 'all', 'earliest', 'new', 'new-only', 'latest'], doc: 'Start of a new consumer group whose pop names none' },
  maxBodyBytes: { env: 'MAX_BODY_BYTES', default: 64 * 1024 * 1024, min: 1024, max: 512 * 1024 * 1024, unit: 'bytes', doc: 'Largest request body; beyond it 413' },
  maxItems: { env: 'MAX_ITEMS', default: 50_000, min: 1, max: 1_000_000, doc: 'Items in one push, acknowledgements in one batch, operations in one transaction' },
  maxDepth: { env: 'MAX_JSON_DEPTH', default: 512, min: 1, max: 100_000, doc: 'Deepest nesting of a payload' },
  maxBatchSize: { env: 'MAX_BATCH_SIZE', default: 10_000, min: 1, max: 1_000_000, doc: 'Most messages of one pop; a larger batch is cut to it' },
  maxParkedPops: { env: 'MAX_PARKED_POPS', default: 50_000, min: 1, max: 1_000_000, doc: 'Most pops that wait for messages at once; one more is answered 503' },
  safetyNetMs: { env: 'POLL_SAFETY_NET', default: 5000, min: 0, max: MAX_INT, unit: 'ms', doc: 'Parked pops are looked at this often in case a wake-up was lost; 0: never' },
  dedupMemoryMb: { env: 'DEDUP_MEMORY_MB', default: 256, min: 1, max: 65_536, unit: 'MB', doc: 'Memory for deduplication windows; past it the database checks' },
  deliveryMemoryMb: { env: 'DELIVERY_MEMORY_MB', default: 64, min: 1, max: 65_536, unit: 'MB', doc: 'Memory for deliveries that wait for their acknowledgement; past it the database is asked' },
  maxEventLoopDelayMs: { env: 'MAX_EVENT_LOOP_DELAY', default: 1000, min: 0, max: 60_000, unit: 'ms', doc: 'Event-loop delay from which pushes are answered 503; 0: never' },
  maxHeapUsedMb: { env: 'MAX_HEAP_USED_MB', default: undefined, min: 0, max: 1_048_576, unit: 'MB', doc: 'Heap of a process in use from which pushes are answered 503; unset: 85 % of what V8 allows; 0: never' },
  maxRssMb: { env: 'MAX_RSS_MB', default: 0, min: 0, max: 1_048_576, unit: 'MB', doc: 'Memory of a process from which pushes are answered 503; 0: never' },
  rateLimitRequests: { env: 'RATE_LIMIT_REQUESTS', default: 0, min: 0, max: MAX_INT, doc: 'Most requests of one client within RATE_LIMIT_WINDOW; one more is answered 429; 0: any number; see docs/limits.md' },
  rateLimitWindowMs: { env: 'RATE_LIMIT_WINDOW', default: 1000, min: 100, max: 3_600_000, unit: 'ms', doc: 'Time for which the requests of a client are counted' },
  retentionIntervalMs: { env: 'RETENTION_INTERVAL', default: 300_000, min: 1000, max: MAX_INT, unit: 'ms', doc: 'Time between two runs of retention' },
  evictionIntervalMs: { env: 'EVICTION_INTERVAL', default: 60_000, min: 1000, max: MAX_INT, unit: 'ms', doc: 'Time between two runs of eviction' },
  retentionBatchSize: { env: 'RETENTION_BATCH_SIZE', default: 1000, min: 1, max: 100_000, doc: 'Messages that retention deletes in one step' },
  evictionBatchSize: { env: 'EVICTION_BATCH_SIZE', default: 1000, min: 1, max: 100_000, doc: 'Messages that eviction moves in one step' },
  partitionCleanupDays: { env: 'PARTITION_CLEANUP_DAYS', default: 30, min: 0, max: 36_500, unit: 'days', doc: 'Empty partitions without a push for so long are deleted; 0: never' },
  metricsRetentionDays: { env: 'METRICS_RETENTION_DAYS', default: 90, min: 0, max: 36_500, unit: 'days', doc: 'Metrics are kept for so long; 0: for ever' },
  deadLetterRetentionDays: { env: 'DEAD_LETTER_RETENTION_DAYS', default: 0, min: 0, max: 36_500, unit: 'days', doc: 'Dead letters are kept for so long; 0: for ever' },
  traceRetentionDays: { env: 'TRACE_RETENTION_DAYS', default: 30, min: 0, max: 36_500, unit: 'days', doc: 'Traces are kept for so long; 0: for ever' },
  metricsSampleMs: { env: 'METRICS_SAMPLE_INTERVAL_MS', default: 1000, min: 10, max: 60_000, unit: 'ms', doc: 'How often the figures of this process are sampled' },
  metricsAggregateSeconds: { env: 'METRICS_AGGREGATE_INTERVAL_S', default: 60, min: 1, max: 3600, unit: 's', doc: 'How often counts and figures are written to the history; from 60 on, whole minutes' },
  metricsMaxQueues: { env: 'METRICS_MAX_QUEUES', default: 200, min: 0, max: 10_000, doc: 'Pairs of queue and consumer group whose lag is shown one by one in /metrics/prometheus; the others are added up' },
  fileBufferDir: { env: 'FILE_BUFFER_DIR', default: undefined, doc: 'Folder of the file buffer, for this process alone; off: none. npm start: file-buffer in DATA_DIR' },
  fileBufferMaxMb: { env: 'FILE_BUFFER_MAX_MB', default: 1024, min: 1, max: 1_048_576, unit: 'MB', doc: 'Most disk space of the file buffer; beyond it 503' },
  fileBufferEventsPerFile: { env: 'FILE_BUFFER_EVENTS_PER_FILE', default: 10_000, min: 1, max: MAX_INT, doc: 'Pushes per file of the buffer; a file has at most 64 MB' },
  fileBufferMaxBatch: { env: 'FILE_BUFFER_MAX_BATCH', default: 5000, min: 1, max: 50_000, doc: 'Messages moved from the file buffer to the database by one call' },
  fileBufferFlushMs: { env: 'FILE_BUFFER_FLUSH_MS', default: 100, min: 10, max: 60_000, unit: 'ms', doc: 'Time between two looks whether the database is back' },
  channelsPort: { env: 'CHANNELS_PORT', default: undefined, min: 0, max: 65535, doc: 'TCP port of the request/reply channels; 0: any free one; unset: none' },
  channelsHost: { env: 'CHANNELS_HOST', default: '127.0.0.1', doc: 'Address they listen on; whoever reaches it may use them' },
  channelsMaxConnections: { env: 'CHANNELS_MAX_CONNECTIONS', default: 10_000, min: 1, max: 1_000_000, doc: 'Most channel connections, TCP, WebSocket and HTTP together; each may hold one unfinished frame of 1 MiB' },
  channelsMaxQueued: { env: 'CHANNELS_MAX_QUEUED', default: 1024, min: 1, max: 1_000_000, doc: 'Most requests of a channel that wait for a receiver; one more is refused' },
  channelsMaxOperations: { env: 'CHANNELS_MAX_OPERATIONS', default: 4096, min: 1, max: 1_000_000, doc: 'Most live requests of a client, and most it serves or waits for; one more is refused' },
  channelsMaxPendingBytes: { env: 'CHANNELS_MAX_PENDING_BYTES', default: 8 * 1024 * 1024, min: 65_536, max: 1_073_741_824, unit: 'bytes', doc: 'Output waiting for a client from which on those who write to it are not read' },
  channelsStallMs: { env: 'CHANNELS_STALL_TIMEOUT', default: 5000, min: 100, max: 3_600_000, unit: 'ms', doc: 'A client that accepts nothing of its waiting output for so long is disconnected' },
  channelsFrameMs: { env: 'CHANNELS_FRAME_TIMEOUT', default: 120_000, min: 100, max: 3_600_000, unit: 'ms', doc: 'Longest time to a first frame, and for the rest of a frame that has begun' },
  channelsDefaultTimeoutMs: { env: 'CHANNELS_DEFAULT_TIMEOUT', default: 30_000, min: 1, max: MAX_INT, unit: 'ms', doc: 'Timeout of a request or claim that names none' },
  channelsCloseMs: { env: 'CHANNELS_CLOSE_TIMEOUT', default: 1000, min: 1, max: 60_000, unit: 'ms', doc: 'Longest orderly close of a channel connection' },
  workerId: { env: 'WORKER_ID', default: 'regent-1', doc: 'Name of this process in health and database sessions' },
  encryptionKey: { env: 'QUEEN_ENCRYPTION_KEY', default: undefined, check: keyFault, doc: 'Key for the payloads of encrypted queues: 64 hex digits' },
  encryptionKeys: { env: 'ENCRYPTION_KEYS', default: undefined, check: ringFault, doc: 'Keys for them as kid:hex,kid:hex: the first seals, all open; see docs/encryption.md' },
  ...AUTH_OPTIONS
}

/** The options of `npm start` besides. */
export const SERVER_OPTIONS: { readonly [K in keyof ServerOptions]: Rule } = {
  port: { env: 'PORT', default: 6632, min: 0, max: 65535, doc: 'HTTP port; 0: any free one' },
  host: { env: 'HOST', default: '0.0.0.0', doc: 'Address to listen on' },
  logLevel: { env: 'LOG_LEVEL', default: 'info', oneOf: ['trace', 'debug', 'info', 'warn', 'error', 'silent'], doc: 'Least level that is logged' },
  dataDir: { env: 'DATA_DIR', default: './data', doc: 'Folder of the embedded database' },
  maxHeaderBytes: { env: 'UWS_HTTP_MAX_HEADERS_SIZE', default: 16_384, min: 1024, max: 1_048_576, unit: 'bytes', doc: 'Largest request head; beyond it 431' },
  headersTimeoutMs: { env: 'HEADERS_TIMEOUT', default: 20_000, min: 1000, max: 300_000, unit: 'ms', doc: 'Longest time for a request head to arrive; then 408' },
  requestTimeoutMs: { env: 'REQUEST_TIMEOUT', default: 60_000, min: 1000, max: 3_600_000, unit: 'ms', doc: 'Longest time for the rest of a request; then 408' },
  keepAliveTimeoutMs: { env: 'KEEP_ALIVE_TIMEOUT', default: 72_000, min: 1000, max: 3_600_000, unit: 'ms', doc: 'An idle connection is kept for so long: longer than the proxy in front keeps its own' },
  shutdownTimeoutMs: { env: 'SHUTDOWN_TIMEOUT', default: 15_000, min: 100, max: 600_000, unit: 'ms', doc: 'Longest graceful shutdown' },
  workers: { env: 'WORKERS', default: 1, min: 1, max: 64, doc: 'Processes that serve requests; they share DB_POOL_SIZE, MAX_PARKED_POPS, DEDUP_MEMORY_MB and DELIVERY_MEMORY_MB' }
}

/** Its settings for things that are not there: set, they are pointed out at the start. */
const WITHOUT_EFFECT = [
  'WEBAPP_ROOT', 'STATS_INTERVAL_MS',
  'STATS_RECONCILE_INTERVAL_MS', 'STATS_HISTORY_RETENTION_DAYS'
]

// Somebody who sets them expects every route to be protected.
const NEEDS_JWT = Object.values(AUTH_OPTIONS).map(rule => rule.env).filter(name => name.startsWith('JWT_') && name !== 'JWT_ENABLED')

/**
 * Options of the plugin from what an embedding application passes. Frozen.
 * @throws RegentError RGT_OPTIONS_INVALID listing every fault
 */
export function readRegentOptions (given: Readonly<Record<string, unknown>>): RegentOptions {
  const faults: string[] = []
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(REGENT_OPTIONS, name) && !IGNORED.has(name)) faults.push(`${name}: is not an option`)
  }
  const options = readAll(REGENT_OPTIONS, name => given[name], name => name, faults)
  if (options.databaseUrl === undefined && options.databaseHost === undefined) faults.push('databaseUrl or databaseHost: is required')
  refuseKeys(options, 'encryptionKeys', faults)
  if (given.authorize !== undefined && typeof given.authorize !== 'function') faults.push('authorize: must be a function')
  faults.push(...authFaults(options, given.authorize !== undefined, name => name))
  refuse(faults)
  return Object.freeze(options) as unknown as RegentOptions // every key of the table was filled in by its rule
}
// The first is no value that a table could hold; Fastify adds its own to what a plugin is registered with.
const IGNORED = new Set(['authorize', 'logLevel', 'logSerializers'])

/**
 * Options of `npm start` from the environment. A variable that is set but empty counts as not set.
 * @returns the server's own, those to pass on to the plugin, and which variables are set without having an effect
 * @throws RegentError RGT_OPTIONS_INVALID listing every fault by its variable
 */
export function readEnvironment (env: Readonly<Record<string, string | undefined>>): { server: ServerOptions, regent: Partial<RegentOptions>, withoutEffect: string[] } {
  const faults: string[] = []
  const isSet = (name: string): boolean => env[name] !== undefined && env[name] !== ''
  const variableOf = (rule: Rule | undefined): string =>
    rule === undefined ? '' : 'overriddenBy' in rule && rule.overriddenBy !== undefined && isSet(rule.overriddenBy) ? rule.overriddenBy : rule.env
  const read = (table: Record<string, Rule>): Record<string, unknown> =>
    readAll(table, name => fromText(env[variableOf(table[name])], table[name]), name => variableOf(table[name]), faults)
  const server = read(SERVER_OPTIONS)
  const regent = read(REGENT_OPTIONS)
  if (regent.databasePoolerUrl !== undefined && regent.databaseUrl === undefined && regent.databaseHost === undefined) {
    faults.push('DB_POOLER_URL: needs DATABASE_URL or PG_HOST too, for what cannot go through a pooler')
  }
  refuseKeys(regent, REGENT_OPTIONS.encryptionKeys.env, faults)
  faults.push(...authFaults(regent, false, name => REGENT_OPTIONS[name as keyof RegentOptions].env)) // asked for its own names alone
  refuse(faults)
  regent.fileBufferDir = bufferFolder(regent.fileBufferDir, String(server.dataDir))
  return { server: Object.freeze(server) as unknown as ServerOptions, regent: regent as Partial<RegentOptions>, withoutEffect: [...WITHOUT_EFFECT, ...regent.jwtEnabled === true ? [] : NEEDS_JWT].filter(isSet) }
}

/** A server of its own keeps what its clients were promised unless it is told not to. */
function bufferFolder (given: unknown, dataDir: string): unknown {
  return given === undefined ? join(dataDir, 'file-buffer') : given === NO_BUFFER ? undefined : given
}

function readAll (table: Record<string, Rule>, valueOf: (name: string) => unknown, label: (name: string) => string, faults: string[]): Record<string, unknown> {
  const options: Record<string, unknown> = {}
  for (const [name, rule] of Object.entries(table)) {
    const value = valueOf(name) ?? rule.default
    const fault = value === undefined ? null : faultOf(value, rule)
    if (fault !== null) faults.push(`${label(name)}: ${fault}`)
    options[name] = value
  }
  return options
}

function faultOf (value: unknown, rule: Rule): string | null {
  if ('min' in rule) {
    const isValid = typeof value === 'number' && Number.isInteger(value) && value >= rule.min && value <= rule.max
    return isValid ? null : `must be a whole number between ${rule.min} and ${rule.max}${rule.unit === undefined ? '' : ` (${rule.unit})`}`
  }
  if (typeof rule.default === 'boolean') return typeof value === 'boolean' ? null : 'must be true or false'
  if (typeof value !== 'string') return 'must be text'
  if ('oneOf' in rule && rule.oneOf !== undefined && !rule.oneOf.includes(value)) {
    return `must be one of ${rule.oneOf.map(word => word === '' ? '(empty)' : word).join(', ')}`
  }
  if ('pattern' in rule && rule.pattern !== undefined && !rule.pattern.test(value)) return rule.hint ?? `must match ${rule.pattern.source}`
  if ('check' in rule && rule.check !== undefined) return rule.check(value)
  // Never with the value: it holds the password.
  if ('pattern' in rule && rule.pattern === POSTGRES_URL && !URL.canParse(value)) return 'must be a URL; characters such as # / ? @ in a password are percent-encoded'
  return null
}

/** A variable's text as the type its rule wants; text that does not fit is left as it is, to be reported. */
function fromText (text: string | undefined, rule: Rule | undefined): unknown {
  if (text === undefined || text === '' || rule === undefined) return undefined
  if ('min' in rule) return /^-?\d+$/.test(text) ? Number(text) : text
  if (typeof rule.default === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  return text
}

function refuseKeys ({ encryptionKey, encryptionKeys }: Record<string, unknown>, label: string, faults: string[]): void {
  const fault = pairFault(encryptionKey, encryptionKeys)
  if (fault !== null) faults.push(`${label}: ${fault}`)
}

function refuse (faults: string[]): void {
  if (faults.length > 0) throw new RegentError('RGT_OPTIONS_INVALID', { detail: `Invalid options:\n${faults.map(fault => `  ${fault}`).join('\n')}` })
}

/** What `--help` prints: every variable with its default and meaning. */
export function optionsHelp (): string {
  const rules: Rule[] = [...Object.values(SERVER_OPTIONS), ...Object.values(REGENT_OPTIONS)]
  const lines = rules.map(rule => {
    const unit = 'unit' in rule && rule.unit !== undefined ? ` ${rule.unit}` : ''
    const value = rule.default === undefined ? 'unset' : rule.default === '' ? 'empty' : `${rule.default}${unit}`
    return `  ${rule.env.padEnd(30)}${value.padEnd(18)}${rule.doc}`
  })
  return `Regent is configured by environment variables:\n\n${lines.join('\n')}\n`
}
