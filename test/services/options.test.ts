import t from 'tap'
import { RegentError } from '../../services/errors.ts'
import { REGENT_OPTIONS, SERVER_OPTIONS, optionsHelp, readEnvironment, readRegentOptions } from '../../services/options.ts'

const URL_ = 'postgres://localhost/x'

/** The faults that reading reports, one a line. */
function faults (read: () => unknown): string[] {
  try {
    read()
  } catch (error) {
    if (error instanceof RegentError && error.code === 'RGT_OPTIONS_INVALID') return error.message.split('\n').slice(1).map(line => line.trim())
    throw error
  }
  return []
}

t.test('fills in every option, and gives a result that cannot be changed', async t => {
  const options = readRegentOptions({ databaseUrl: URL_ })
  t.same(Object.keys(options).sort(), Object.keys(REGENT_OPTIONS).sort())
  for (const [name, rule] of Object.entries(REGENT_OPTIONS)) {
    if (name !== 'databaseUrl') t.equal(options[name as keyof typeof options], rule.default, name)
  }
  t.ok(Object.isFrozen(options))
})

t.test('keeps what is given, also where it is falsy', async t => {
  const given = { databaseHost: '/run', databasePassword: '', prefix: '', safetyNetMs: 0, maxEventLoopDelayMs: 0, databaseSslRejectUnauthorized: false, defaultTimeoutMs: 0 }
  t.match(readRegentOptions(given), given)
  t.match(readRegentOptions({ databaseUrl: URL_, poolSize: undefined }), { poolSize: REGENT_OPTIONS.poolSize.default }, 'undefined is not given')
})

t.test('needs to know where the database is', async t => {
  t.same(faults(() => readRegentOptions({})), ['databaseUrl or databaseHost: is required'])
})

t.test('reports every fault at once, by the name of the option', async t => {
  t.same(faults(() => readRegentOptions({
    databaseUrl: 'mysql://x',
    poolSize: 1,
    maxItems: '5',
    maxDepth: 1.5,
    callTimeoutMs: Number.NaN,
    databaseSsl: 'yes',
    workerId: 7,
    prefix: '/x/',
    decorator: 'a b',
    databaseSchema: 'Robert"; drop',
    defaultSubscriptionMode: 'old',
    poolsize: 3,
    toString: 1
  })).map(line => line.slice(0, line.indexOf(':'))).sort(),
  ['callTimeoutMs', 'databaseSchema', 'databaseSsl', 'databaseUrl', 'decorator', 'defaultSubscriptionMode', 'maxDepth', 'maxItems', 'poolSize', 'poolsize', 'prefix', 'toString', 'workerId'])
  t.same(faults(() => readRegentOptions({ databaseUrl: URL_, connectTimeoutMs: 5 })), ['connectTimeoutMs: must be a whole number between 100 and 600000 (ms)'])
})

t.test('accepts both bounds of a number and nothing beyond', async t => {
  for (const [name, rule] of Object.entries(REGENT_OPTIONS)) {
    if (!('min' in rule)) continue
    for (const value of [rule.min, rule.max]) t.same(faults(() => readRegentOptions({ databaseUrl: URL_, [name]: value })), [], `${name} ${value}`)
    for (const value of [rule.min - 1, rule.max + 1]) t.match(faults(() => readRegentOptions({ databaseUrl: URL_, [name]: value })), [new RegExp(`^${name}: `)], `${name} ${value}`)
  }
})

t.test('ignores what the framework adds when it registers a plugin', async t => {
  t.same(faults(() => readRegentOptions({ databaseUrl: URL_, logLevel: 'warn', logSerializers: {} })), [])
})

t.test('accepts prefixes, decorators and schemas that can be used as such', async t => {
  for (const good of [{ prefix: '/a' }, { prefix: '/a/b-c' }, { decorator: '$queue1' }, { databaseSchema: '_a9' }, { databaseSchema: 'a'.repeat(48) }]) {
    t.same(faults(() => readRegentOptions({ databaseUrl: URL_, ...good })), [], JSON.stringify(good))
  }
  for (const bad of [{ prefix: 'a' }, { prefix: '/' }, { prefix: '/a b' }, { decorator: '1a' }, { decorator: '' }, { databaseSchema: '' }, { databaseSchema: 'a'.repeat(49) }, { databaseSchema: '1a' }]) {
    t.equal(faults(() => readRegentOptions({ databaseUrl: URL_, ...bad })).length, 1, JSON.stringify(bad))
  }
})

t.test('reads the environment by the names of the table, as the type of each', async t => {
  const { server, regent } = readEnvironment({ PORT: '0', HOST: '::1', LOG_LEVEL: 'debug', DATABASE_URL: URL_, DB_POOL_SIZE: '7', PG_USE_SSL: 'true', PG_SSL_REJECT_UNAUTHORIZED: 'false', DEFAULT_SUBSCRIPTION_MODE: 'new', UNRELATED: 'x' })
  t.match(server, { port: 0, host: '::1', logLevel: 'debug', dataDir: SERVER_OPTIONS.dataDir.default })
  t.match(regent, { databaseUrl: URL_, poolSize: 7, databaseSsl: true, databaseSslRejectUnauthorized: false, defaultSubscriptionMode: 'new' })
  t.same(faults(() => readRegentOptions({ ...regent })), [], 'what it returns is what the plugin takes')
})

t.test('an empty variable counts as not set, and no database is needed', async t => {
  const { server, regent } = readEnvironment({ PORT: '', DATABASE_URL: '', DB_POOL_SIZE: '', PG_USE_SSL: '' })
  t.equal(server.port, 6632)
  t.match(regent, { databaseUrl: undefined, databaseHost: undefined, poolSize: 20, databaseSsl: false })
})

t.test('names the variable at fault, all of them at once', async t => {
  t.same(faults(() => readEnvironment({ PORT: '70000', LOG_LEVEL: 'loud', DB_POOL_SIZE: '1e3', MAX_ITEMS: '0x10', PG_USE_SSL: 'yes', DATABASE_URL: 'x', SHUTDOWN_TIMEOUT: '-5', MAX_JSON_DEPTH: ' 5' }))
    .map(line => line.slice(0, line.indexOf(':'))).sort(), ['DATABASE_URL', 'DB_POOL_SIZE', 'LOG_LEVEL', 'MAX_ITEMS', 'MAX_JSON_DEPTH', 'PG_USE_SSL', 'PORT', 'SHUTDOWN_TIMEOUT'])
})

t.test('no two options share a variable, and the help tells of each with its default', async t => {
  const rules = [...Object.values(SERVER_OPTIONS), ...Object.values(REGENT_OPTIONS)]
  t.equal(new Set(rules.map(rule => rule.env)).size, rules.length)
  const help = optionsHelp()
  for (const { env, doc } of rules) t.match(help, new RegExp(`^ {2}${env} .*${doc.replace(/[.*+?()[\]]/g, '\\$&')}$`, 'm'))
  t.match(help, /DB_CALL_TIMEOUT +10000 ms/)
  t.match(help, /DATABASE_URL +unset/)
  t.match(help, /ROUTE_PREFIX +empty/)
})

t.test('the request-path pool of the compatible server wins over its background pool', async t => {
  t.equal(readEnvironment({ DB_POOL_SIZE: '150', SIDECAR_POOL_SIZE: '50' }).regent.poolSize, 50)
  t.equal(readEnvironment({ DB_POOL_SIZE: '150', SIDECAR_POOL_SIZE: '' }).regent.poolSize, 150)
  t.match(faults(() => readEnvironment({ SIDECAR_POOL_SIZE: '0' })), [/^SIDECAR_POOL_SIZE: /])
})

t.test('variables that have no effect are pointed out', async t => {
  t.same(readEnvironment({ STATS_INTERVAL_MS: '1', RETENTION_INTERVAL: '', WEBAPP_ROOT: '/www' }).withoutEffect, ['WEBAPP_ROOT', 'STATS_INTERVAL_MS'])
})

t.test('a server has a file buffer with its data unless it is told not to, an embedded service only where it is told to', async t => {
  t.equal(readEnvironment({ DATA_DIR: '/data' }).regent.fileBufferDir, '/data/file-buffer')
  t.equal(readEnvironment({ FILE_BUFFER_DIR: '/buffers' }).regent.fileBufferDir, '/buffers')
  t.equal(readEnvironment({ FILE_BUFFER_DIR: 'off' }).regent.fileBufferDir, undefined)
  t.equal(readRegentOptions({ databaseHost: 'h' }).fileBufferDir, undefined)
})
