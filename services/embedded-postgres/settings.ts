import { runAs, type Account } from './account.ts'
import type { Binaries } from './binaries.ts'

// Modest for a small machine, for a load of many short writes. fsync and synchronous_commit keep their default: on.
const DEFAULTS = {
  max_connections: '200',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  checkpoint_completion_target: '0.9',
  // A queue's tables turn over within seconds; the default minute lets dead rows pile up.
  autovacuum_naptime: '10s',
  // Statements, details and contexts may quote payloads, which must not reach a log.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse'
}

/** The command line arguments that carry all settings of the server. */
export async function settingArguments (clusterDir: string, socketDir: string, settings: Record<string, string>,
  binaries: Binaries, account: Account): Promise<string[]> {
  const walCompression = settings['wal_compression'] ?? await chooseWalCompression(clusterDir, binaries, account)
  const all = {
    ...DEFAULTS,
    wal_compression: walCompression,
    ...settings,
    // Last, so that they cannot be overridden: whoever reaches the server is its superuser.
    listen_addresses: '',
    unix_socket_directories: socketDir,
    unix_socket_permissions: '0700',
    logging_collector: 'off'
  }
  return Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])
}

// Which methods exist was decided when the binaries were built: asking is the only way to know.
async function chooseWalCompression (clusterDir: string, binaries: Binaries, account: Account): Promise<string> {
  const { ok } = await runAs(account, binaries.postgres, '-C', 'wal_compression', '-c', 'wal_compression=lz4', '-D', clusterDir)
  return ok ? 'lz4' : 'pglz'
}
