import t from 'tap'
import { messageId, messageIdPrefix, parseAddress, positionSuffix } from '../../../services/log/ids.ts'
import { connect, startService } from '../../support.ts'

const PARTITIONS = [1, 2, 255, 4096, 2 ** 32, 2 ** 48 - 1]
const POSITIONS = [0, 1, 9, 15, 16, 255, 4095, 4096, 2 ** 24, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 5, 2 ** 48, Number.MAX_SAFE_INTEGER]

t.test('an id gives back the partition and position it was made of', async t => {
  for (const partition of PARTITIONS) {
    for (const position of POSITIONS) {
      const id = messageId(partition, position)
      t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
      t.same(parseAddress(id), { partition, position })
      t.same(parseAddress(id.toUpperCase()), { partition, position })
      t.equal(messageIdPrefix(partition) + positionSuffix(position), id)
    }
  }
})

t.test('the ids of a partition sort in delivery order', async t => {
  for (const partition of PARTITIONS) {
    const ids = POSITIONS.map(position => messageId(partition, position))
    t.same([...ids].sort(), ids)
    t.equal(new Set(ids).size, ids.length)
  }
})

t.test('reads nothing but our own ids', async t => {
  const foreign = [
    '', 'x', '01a1fcb5-807f-7002-9029-fb44e3b58311', '00000000-0001-4000-8000-000000000000', '00000000-0001-8000-9000-000000000000',
    '00000000-0001-8000-8000-00000000000', '00000000-0001-8000-8000-0000000000000', '00000000-0001-8000-8000-00000000000g', ' 00000000-0001-8000-8000-000000000001',
    '00000000000180008000000000000001'
  ]
  for (const id of foreign) t.equal(parseAddress(id), null, id)
  t.equal(parseAddress('00000000-0001-8fff-8fff-ffffffffffff'), null, 'a position that no number holds exactly')
})

t.test('SQL makes the same ids', async t => {
  const service = await startService(t)
  const sql = connect(t, service.databaseUrl)
  for (const partition of PARTITIONS) {
    const rows = await sql<{ id: string }[]>`
      select regent.message_id(${String(partition)}::bigint, p::bigint) as id from unnest(${POSITIONS.map(String)}::text[]) with ordinality as n(p, ord) order by ord`
    t.same(rows.map(row => row.id), POSITIONS.map(position => messageId(partition, position)))
  }
})
