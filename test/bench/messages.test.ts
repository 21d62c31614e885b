import t from 'tap'
import { PushRequests, idText, numberIn } from '../../scripts/bench/messages.ts'
import { percentiles } from '../../scripts/bench/statistics.ts'
import { Ledger, PopAnswer } from '../../scripts/bench/loads/deliveries.ts'
import { Tally } from '../../scripts/bench/tally.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

t.test('an id holds its number, and is a UUID like any other', async t => {
  for (const number of [0, 1, 99, 65_536, 2 ** 31, 2 ** 32 - 1]) {
    t.match(idText(number), UUID)
    t.equal(numberIn(idText(number)), number)
  }
})

t.test('each request holds its own ids, its partition and payloads of 250 bytes, and says how long it is', async t => {
  const requests = new PushRequests({ url: 'http://localhost:1', queue: 'q', batch: 3, offset: 2047 })
  for (let turn = 0; turn < 40; turn++) {
    const [head = '', body = ''] = requests.next(turn % 7, turn * 3).toString('latin1').split('\r\n\r\n')
    const { items } = JSON.parse(body) as { items: { queue: string, partition: string, transactionId: string, payload: object }[] }
    t.match(head, `content-length: ${body.length}`)
    t.strictSame(items.map(({ transactionId }) => numberIn(transactionId)), [turn * 3, turn * 3 + 1, turn * 3 + 2])
    t.ok(items.every(({ queue, partition, payload }) => queue === 'q' && partition === `p0000${turn % 7}` && JSON.stringify(payload).length === 250))
  }
})

function answer (...numbers: number[]): PopAnswer {
  return new PopAnswer(JSON.stringify({ messages: numbers.map(number => ({ transactionId: idText(number), data: { orderId: '1' } })) }))
}

t.test('messages that are missing, come twice or were never pushed are faults', async t => {
  const check = (...answers: PopAnswer[]): string[] => {
    const tally = new Tally()
    const ledger = new Ledger(3, tally, 10)
    for (const one of answers) ledger.take(one)
    ledger.finish()
    return tally.result(1).faults
  }
  t.strictSame(check(answer(11, 10), answer(12)), [])
  t.strictSame(check(answer(10, 11)), ['1 messages never came'])
  t.strictSame(check(answer(10, 11), answer(12, 11)), ['a message that came twice'])
  t.strictSame(check(answer(10, 11, 12), answer(13), answer(9)), ['a message that was never pushed (2 times)'])
})

t.test('a load without requests of its own has no latency', async t => {
  const tally = new Tally()
  t.equal(tally.result(1).latency, null)
  tally.latency(5)
  t.strictSame(tally.result(1).latency, percentiles([5]))
})
