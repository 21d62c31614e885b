import t from 'tap'
import { messageLine, transactionIdOf } from '../../../services/log/line.ts'

const IDS = ['x', '', '"', '\\', '\\"', '\\\\', '\\\\"', 'a"b\\', '","data":1', '\n\r\t\u0000\u001e', '\u2028', '\ud800', '\u{1f389}', '{"transactionId":"y"}', ' '.repeat(255)]

t.test('a line is the message as JSON, transactionId first, data last and as it was given', async t => {
  t.equal(messageLine('"x"', null, null, '1.10'), '{"transactionId":"x","traceId":null,"producerSub":null,"data":1.10}')
  const line = messageLine('"x"', '0190a0b2-7c3d-7e4f-8a5b-0123456789ab', 'us"er\\\n', '{"b":1,"b":2}')
  t.ok(line.endsWith(',"data":{"b":1,"b":2}}'))
  t.same(JSON.parse(line), { transactionId: 'x', traceId: '0190a0b2-7c3d-7e4f-8a5b-0123456789ab', producerSub: 'us"er\\\n', data: { b: 2 } })
})

t.test('finds the transaction id as its JSON text, whatever it and the payload hold', async t => {
  for (const id of IDS) {
    for (const payload of [...IDS, { transactionId: '"' }, null, []]) {
      const text = JSON.stringify(id)
      const line = messageLine(text, null, null, JSON.stringify(payload))
      t.equal(transactionIdOf(line), text)
      t.notOk(line.includes('\n'))
    }
  }
})
