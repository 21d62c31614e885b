import type { Options, PostgresType } from 'postgres'

export interface ConnectionOptions {
  /** Connection string; wins over host … ssl. */
  url?: string | undefined
  host?: string | undefined
  port?: number | undefined
  database?: string | undefined
  user?: string | undefined
  password?: string | undefined
  /** TLS to the database; `relaxed` accepts any certificate. */
  ssl?: 'off' | 'strict' | 'relaxed' | undefined
  /** Schema that holds Regent's tables and functions. */
  schema: string
  applicationName: string
  connectTimeoutMs: number
  statementTimeoutMs: number
  lockTimeoutMs: number
  /** A pooler in transaction mode is in between: what one session is told holds for no other statement. */
  isPooled?: boolean
}

/**
 * Driver settings that every connection of the service shares.
 * The constant back-off matters: the driver's own climbs to 20 s and is shared by the whole pool, which turns an outage
 * of seconds into one of a minute.
 */
export function poolSettings (options: ConnectionOptions): Options<Record<string, PostgresType>> {
  return {
    ...target(options),
    connect_timeout: options.connectTimeoutMs / 1000,
    backoff: () => 0.2,
    idle_timeout: 0,
    // Recycling spreads load over a cluster's members; the jittered default of the driver would also do it in mid-peak.
    max_lifetime: null,
    fetch_types: false,
    onnotice: () => {},
    // A statement that was prepared on one session is unknown to the next.
    prepare: options.isPooled !== true,
    connection: {
      application_name: options.applicationName,
      TimeZone: 'UTC',
      // Poolers pass on few settings and refuse connections that ask for others: there the role has them.
      ...(options.isPooled === true ? {} : sessionSettings(options))
    }
  }
}

function sessionSettings ({ statementTimeoutMs, lockTimeoutMs }: ConnectionOptions): Record<string, string | number> {
  return {
    statement_timeout: statementTimeoutMs,
    lock_timeout: lockTimeoutMs,
    // Compiling a plan costs a hundred times what any of these statements costs. As texts: the driver drops `false`.
    jit: 'off',
    // Results of a pop pass through a tuple store; keep an ordinary one in memory.
    work_mem: '32MB'
  }
}

/**
 * The way of calls that stand for themselves: through the pooler, where there is one. Notifications, the lock of the jobs
 * and migrations need a session and stay with the direct connection.
 * @param url connection string of a pooler in transaction mode, to the same database
 */
export function throughPooler (direct: ConnectionOptions, url: string | undefined): ConnectionOptions {
  return url === undefined ? direct : { ...direct, url, isPooled: true }
}

function target (options: ConnectionOptions): Options<Record<string, PostgresType>> {
  const ssl = options.ssl === 'strict' ? true : options.ssl === 'relaxed' ? { rejectUnauthorized: false } : undefined
  if (options.url !== undefined) return { ...fromUrl(options.url), ...(ssl === undefined ? {} : { ssl }) }
  const { host, port, database, user, password } = options
  return {
    ...(host === undefined ? {} : host.startsWith('/') ? { host, path: `${host}/.s.PGSQL.${port ?? 5432}` } : { host }),
    ...(port === undefined ? {} : { port }),
    ...(database === undefined ? {} : { database }),
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(ssl === undefined ? {} : { ssl })
  }
}

/** The parts of a connection string. A socket folder may be given as `?host=/folder`, as in libpq. */
function fromUrl (text: string): Options<Record<string, PostgresType>> {
  const url = new URL(text)
  const socket = url.searchParams.get('host')
  const port = url.port === '' ? Number(url.searchParams.get('port') ?? 5432) : Number(url.port)
  const mode = url.searchParams.get('sslmode')
  return {
    ...(socket === null ? { host: url.hostname } : { host: socket, ...(socket.startsWith('/') ? { path: `${socket}/.s.PGSQL.${port}` } : {}) }),
    port,
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    // libpq: require encrypts without checking the certificate, verify-* checks it.
    ...(mode === 'require' || mode === 'prefer' ? { ssl: { rejectUnauthorized: false } } : mode?.startsWith('verify') === true ? { ssl: true } : {})
  }
}
