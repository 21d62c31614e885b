import t from 'tap'
import { RawClient } from '../fault/raw-client.ts'
import { startServer } from '../fault/server-under-test.ts'
import { parseExposition, valueOf } from '../routes/metrics-text.ts'
import { request } from '../support.ts'
import { connectEach } from '../workers/connections.ts'

t.test('a server with several workers shows what each of its processes has observed', async t => {
  const { url } = await startServer(t, { env: { WORKERS: '2', WORKER_ID: 'w' } })
  const connections = await connectEach(new RawClient(t, url), 2)
  for (const [i, connection] of connections.entries()) {
    for (let n = 0; n <= i; n++) await connection.push('shared', n)
  }
  const families = parseExposition((await request(`${url}/metrics/prometheus`)).text)
  const stored = ['w-main', 'w-1', 'w-2'].map(worker => valueOf(families, 'queen_messages_stored_total', { worker_id: worker }))
  t.same(stored, [0, 1, 2])
  for (const [name, labels] of [['queen_lane_call_items', { lane: 'push' }], ['queen_db_call_duration_seconds', { call: 'push' }]] as const) {
    const counts = ['w-main', 'w-1', 'w-2'].map(worker => valueOf(families, `${name}_count`, { ...labels, worker_id: worker }))
    t.same(counts, [0, 1, 2], name)
  }
  for (const [name, { samples }] of families) {
    const named = samples.filter(({ labels }) => 'worker_id' in labels)
    t.ok(named.length === 0 || named.length === samples.length, `${name}: either all of its series are of a process or none`)
  }
})
