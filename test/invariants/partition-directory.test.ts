import t from 'tap'
import type { Test } from 'tap'
import { Pool } from '../../services/database/pool.ts'
import { PartitionDirectory, partitionKey } from '../../services/queue/partition-directory.ts'
import { startService } from '../support.ts'
import { push } from './support.ts'

// What two lanes of one instance can do to a window between one another's check and write is too narrow to be hit from
// outside. Here the steps are taken one by one.

async function directoryWithThree (t: Test): Promise<{ directory: PartitionDirectory, wanted: { key: string, queue: string, partition: string }[] }> {
  const service = await startService(t)
  await push(service, ['a', 'b', 'c'].map(transactionId => ({ queue: 'q', partition: 'p', transactionId, payload: 0 })))
  const pool = new Pool({
    url: service.databaseUrl,
    schema: 'regent',
    applicationName: 'test',
    connectTimeoutMs: 2000,
    statementTimeoutMs: 5000,
    lockTimeoutMs: 5000,
    poolSize: 3,
    callTimeoutMs: 5000,
    log: { info () {}, warn () {} }
  })
  t.teardown(async () => { await pool.close() })
  return { directory: new PartitionDirectory(pool, 1024 * 1024), wanted: [{ key: partitionKey('q', 'p'), queue: 'q', partition: 'p' }] }
}

t.test('a window takes in what joins on to it, and stays as it is where it would get a hole', async t => {
  const { directory, wanted } = await directoryWithThree(t)
  const [entry] = (await directory.resolve(wanted)).values()
  if (entry === undefined) throw new Error('no entry')
  await directory.loadWindows([entry])
  t.equal(entry.window?.known, 3)
  // Checked in the database, without a window: what lies between 3 and 10 is not told.
  directory.learn(entry, -1, null, 10, [1000], 0)
  t.equal(entry.window?.known, 3)
  // Checked against an older window that had come further than the one loaded since.
  directory.learn(entry, 8, '9:900', 10, [1000], 0)
  t.equal(entry.window?.known, 3)
  t.strictSame(entry.window?.find(1000), [])
  directory.learn(entry, 3, '4:400,500', 5, [600], 0)
  t.equal(entry.window?.known, 6)
  // A call that was under way before that one: it tells of the same segments again.
  directory.learn(entry, 3, null, 3, [400, 500], 0)
  t.equal(entry.window?.known, 6, 'and never falls back')
  t.strictSame([400, 500, 600].map(hash => entry.window?.find(hash)), [[4], [5], [6]])
})

t.test('calls that find a new partition at once share its entry', async t => {
  const { directory, wanted } = await directoryWithThree(t)
  const [one, other] = await Promise.all([directory.resolve(wanted), directory.resolve(wanted)])
  t.equal([...one.values()][0], [...other.values()][0])
  await Promise.all([directory.loadWindows(one.values()), directory.loadWindows(other.values())])
  t.equal([...one.values()][0]?.window?.known, 3)
})

t.test('memory of windows is given back, also when a partition is forgotten while its window is loaded', async t => {
  const { directory, wanted } = await directoryWithThree(t)
  const [entry] = (await directory.resolve(wanted)).values()
  if (entry === undefined) throw new Error('no entry')
  const loading = directory.loadWindows([entry])
  directory.forget(entry.key)
  await loading
  t.equal(entry.window, null, 'the database checks for a call that still has it')
  t.equal(directory.windowBytes, 0)
  await directory.loadWindows((await directory.resolve(wanted)).values())
  t.ok(directory.windowBytes > 0)
  directory.clear()
  t.equal(directory.windowBytes, 0)
})
