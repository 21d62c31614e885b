import t from 'tap'
import type { BufferKeeper, Member } from '../../services/shared-buffer/keeper.ts'
import type { FromKeeper, ToKeeper } from '../../services/shared-buffer/messages.ts'
import type { BufferLink, ProcessRole } from '../../services/workers/role.ts'
import { bufferFolder, statuses, takeAll } from '../failover/support.ts'
import { seededRandom } from '../invariants/support.ts'
import { createDatabase, startService, until } from '../support.ts'
import { Links } from './links.ts'

t.test('a push that reaches the buffer when the drain has just ended is drained as well', async t => {
  const databaseUrl = await createDatabase(t)
  const links = new Links(seededRandom(1))
  let keeper: BufferKeeper | null = null
  const options = { databaseUrl, fileBufferDir: bufferFolder(t) }
  const main = await startService(t, withRole(options, { kind: 'keeper', onBuffer: opened => { keeper = opened }, onChannels: () => {}, reports: async () => [], setLogLevel: () => {} }))
  const buffer: BufferLink = { send: message => { toKeeper.send(message) }, onMessage: () => {}, onLost: () => {} }
  const fromKeeper = links.way<FromKeeper>(message => { buffer.onMessage(message) })
  const member: Member = { send: message => { fromKeeper.send(message) }, expel: () => { t.fail('it answers') } }
  const toKeeper = links.way<ToKeeper>(message => { keeper?.receive(member, message) })
  const worker = await startService(t, withRole({ databaseUrl }, { kind: 'worker', buffer, mainSocket: 'not used here', onReport: () => {} }))

  const maintain = async (enabled: boolean): Promise<void> => { await worker.call('POST', '/api/v1/system/maintenance', { enabled }) }
  const untilMain = async (state: string): Promise<void> => { await until(async () => (await main.call('GET', '/health')).json.pushes === state) }
  await maintain(true)
  await untilMain('maintenance')
  t.strictSame(statuses(await worker.push([{ queue: 'q', payload: 0 }])), ['buffered'])
  toKeeper.hold(true)
  const late = worker.push([{ queue: 'q', payload: 1 }])
  await until(() => toKeeper.waiting > 0)
  await maintain(false)
  await untilMain('direct')
  toKeeper.hold(false)
  t.strictSame(statuses(await late), ['buffered'])
  // Asked for nothing else: reading the settings would set the drain to work.
  await until(async () => (await worker.call('GET', '/health')).json.pushes === 'direct')
  t.strictSame(statuses(await worker.push([{ queue: 'q', payload: 2 }])), ['queued'])
  t.strictSame(await takeAll(worker, 'q'), [0, 1, 2])
})

function withRole<T> (options: T, role: ProcessRole): T & { role: ProcessRole } {
  return { ...options, role }
}
