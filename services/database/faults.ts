/**
 * What a database error means for the call it happened to.
 * - away: the call did not run; the database cannot be reached or cannot take it now
 * - unknown: the connection ended under the call; it may have been committed
 * - conflict: rolled back because of another transaction; to be tried again at once
 * - slow: cancelled by a statement or lock timeout and rolled back
 * - denied: the database does not let us in; away for a call, but nothing that waiting at the start would help
 * - refused: the database answered with any other error; the call was rolled back
 */
export type Fault = 'away' | 'unknown' | 'conflict' | 'slow' | 'denied' | 'refused'

// SQLSTATEs: 57P03 starting up, 55000 database not accepting connections, 53300 out of connections, 25006 read-only standby, 3D000 database missing (during a restore),
// 08xxx connection refused by a proxy; 53000 resources, 53100 disk full, 53200 out of memory, 58030 I/O error: not the call's fault.
// EAGAIN: a socket whose queue of connections is full; EMFILE … EADDRNOTAVAIL: this machine has no room for another connection.
const AWAY = new Set(['57P03', '55000', '53300', '25006', '3D000', '08000', '08001', '08003', '08004', '08006', '53000', '53100', '53200', '58030', 'ECONNREFUSED',
  'ENOENT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ETIMEDOUT', 'CONNECT_TIMEOUT', 'EACCES', 'EAGAIN', 'EMFILE', 'ENFILE', 'ENOBUFS',
  'ENOMEM', 'EADDRNOTAVAIL'])
// 57P01 admin shutdown, 57P02 crash shutdown, 57P05 idle session: the driver may hand them to a call that had been sent. 08007, 08P01 and
// 40003 are a proxy's or a standby's word for a connection that was lost.
const UNKNOWN = new Set(['CONNECTION_CLOSED', 'CONNECTION_ENDED', 'CONNECTION_DESTROYED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', '57P01', '57P02', '57P05', '08007',
  '08P01', '40003'])
const CONFLICT = new Set(['40001', '40P01'])
const SLOW = new Set(['57014', '55P03'])

/** The code of a caught value: SQLSTATE, driver code or errno name; '' when it has none. */
export function codeOf (error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** What a function of ours raised as the DETAIL of its error; '' when there is none. */
export function detailOf (error: unknown): string {
  return error instanceof Error && 'detail' in error && typeof error.detail === 'string' ? error.detail : ''
}

/** Which kind of fault an error thrown by the driver is. */
export function faultOf (error: unknown): Fault {
  const code = codeOf(error)
  if (AWAY.has(code)) return 'away'
  if (UNKNOWN.has(code)) return 'unknown'
  if (CONFLICT.has(code)) return 'conflict'
  if (SLOW.has(code)) return 'slow'
  // Class 28, invalid authorization: a password that was changed, a role that may not log in any more.
  if (/^28[0-9A-Z]{3}$/.test(code)) return 'denied'
  return 'refused'
}
