import t from 'tap'
import { faultOf } from '../../../services/database/faults.ts'
import type { Fault } from '../../../services/database/faults.ts'

const CODES: Record<Fault, string[]> = {
  away: ['ECONNREFUSED', 'ENOENT', 'EAGAIN', 'CONNECT_TIMEOUT', '57P03', '53300', '25006', '53100', '08006'],
  unknown: ['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'ECONNRESET', '57P01', '57P02', '08007', '40003'],
  conflict: ['40001', '40P01'],
  slow: ['57014', '55P03'],
  denied: ['28000', '28P01'],
  refused: ['22P05', '23505', '42883', 'RG001', 'XX000', '']
}

t.test('what an error of the database means for the call it happened to', async t => {
  for (const [fault, codes] of Object.entries(CODES)) {
    for (const code of codes) t.equal(faultOf(Object.assign(new Error('x'), { code })), fault, code)
  }
  t.equal(faultOf(new Error('without a code')), 'refused')
  t.equal(faultOf('no error'), 'refused')
})
