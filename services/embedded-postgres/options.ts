export interface EmbeddedPostgresLog {
  info (obj: object, msg: string): void
  warn (obj: object, msg: string): void
  error (obj: object, msg: string): void
}

export interface EmbeddedPostgresOptions {
  /** Folder of everything kept between two starts; the cluster goes into `<dataDir>/postgres`. */
  dataDir: string
  log: EmbeddedPostgresLog
  /** Further PostgreSQL settings; they win over the defaults, except those that would open a network port. */
  settings?: Record<string, string>
  /** Longest silence of the server's log before a start is given up; crash recovery may take longer in all. */
  startTimeoutMs?: number
}

export interface ExitStatus {
  /** True when `stop()` was called before the server ended. */
  expected: boolean
  code: number | null
  signal: string | null
}

export interface EmbeddedPostgres {
  /** Folder of the unix socket: the `host` of postgres.js and of libpq. */
  socketDir: string
  port: number
  user: string
  database: string
  /** For example "18.4". */
  version: string
  /** Resolves once the server has ended, for whatever reason; never rejects. */
  exited: Promise<ExitStatus>
  /** Fast shutdown, then immediate, then kill. Calling it again returns the same promise. */
  stop (): Promise<void>
}
