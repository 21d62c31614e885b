import t from 'tap'
import { createDatabase } from '../support.ts'
import type { Answer, Service } from '../support.ts'
import { ackAll, payloads, poll, startWatched, untilParked } from './parked.ts'

/** What the answered messages were counted as. */
function counts (answer: Answer): unknown[] {
  return answer.json.messages.map(({ retryCount, deliveryCount }: { retryCount: number, deliveryCount: number }) => ({ retryCount, deliveryCount }))
}

// Everything that makes messages available must wake a poll that waits, on the instance where it happens and on any
// other, with the safety net switched off: every poll here would time out empty if its wake-up were missing.
for (const where of ['the same instance', 'another instance'] as const) {
  t.test(`a parked poll on ${where} is woken by`, async t => {
    const databaseUrl = await createDatabase(t)
    const { service: waiting, proxy } = await startWatched(t, { databaseUrl })
    const here: Service = where === 'the same instance' ? waiting : (await startWatched(t, { databaseUrl })).service
    const park = async (path: string): Promise<ReturnType<typeof poll>> => {
      const begun = poll(waiting, path)
      await untilParked(waiting, 1, proxy)
      return begun
    }

    await t.test('a push', async t => {
      const polled = await park('push')
      await here.push([{ queue: 'push', payload: 1 }])
      t.strictSame(payloads(await polled.answer), [1])
    })

    await t.test('a push to a partition that did not exist', async t => {
      const polled = await park('new/partition/later')
      await here.push([{ queue: 'new', partition: 'sooner', payload: 0 }, { queue: 'new', partition: 'later', payload: 1 }])
      t.strictSame(payloads(await polled.answer), [1])
    })

    await t.test('a push inside a transaction', async t => {
      const polled = await park('transaction')
      const { json } = await here.call('POST', '/api/v1/transaction', { operations: [{ type: 'push', items: [{ queue: 'transaction', payload: 1 }] }] })
      t.ok(json.success)
      t.strictSame(payloads(await polled.answer), [1])
    })

    await t.test('an acknowledgement that frees a partition with more messages', async t => {
      await here.push([{ queue: 'ack', payload: 1 }, { queue: 'ack', payload: 2 }])
      const first = await here.pop('ack')
      const polled = await park('ack')
      await ackAll(here, first)
      t.strictSame(payloads(await polled.answer), [2])
    })

    await t.test('an acknowledgement inside a transaction', async t => {
      await here.push([{ queue: 'tx-ack', payload: 1 }, { queue: 'tx-ack', payload: 2 }])
      const first = await here.pop('tx-ack')
      const polled = await park('tx-ack')
      const operations = first.json.messages.map((message: object) => ({ type: 'ack', ...message, status: 'completed' }))
      const { json } = await here.call('POST', '/api/v1/transaction', { operations })
      t.ok(json.success, json.error)
      t.strictSame(payloads(await polled.answer), [2])
    })

    await t.test('the end of the delay after a failure', async t => {
      await here.call('POST', '/api/v1/configure', { queue: 'failed', options: { retryDelay: 700 } })
      await here.push([{ queue: 'failed', payload: 1 }])
      const first = await here.pop('failed')
      const polled = await park('failed')
      const failedAt = performance.now()
      await ackAll(here, first, 'failed')
      const answer = await polled.answer
      t.strictSame(payloads(answer), [1])
      t.strictSame(counts(answer), [{ retryCount: 1, deliveryCount: 2 }])
      t.ok(performance.now() - failedAt >= 690, 'not before the delay is over')
    })

    await t.test('the end of a lease', async t => {
      await here.call('POST', '/api/v1/configure', { queue: 'lease', options: { leaseTime: 1 } })
      await here.push([{ queue: 'lease', payload: 1 }])
      await here.pop('lease')
      const polled = await park('lease')
      const answer = await polled.answer
      t.strictSame(payloads(answer), [1])
      t.strictSame(counts(answer), [{ retryCount: 0, deliveryCount: 2 }])
    })

    await t.test('the end of a lease that was taken while it waited', async t => {
      await here.call('POST', '/api/v1/configure', { queue: 'taken', options: { leaseTime: 1 } })
      const polled = await park('taken?consumerGroup=g')
      // Served to whoever comes first; the other one is to have it when that lease has ended.
      const rival = poll(here, 'taken?consumerGroup=g')
      await here.push([{ queue: 'taken', payload: 1 }])
      const answers = await Promise.all([polled.answer, rival.answer])
      t.strictSame(answers.map(payloads), [[1], [1]])
      t.strictSame(answers.flatMap(counts).map((count: any) => count.deliveryCount).sort(), [1, 2])
    })

    await t.test('the due time of delayed messages', async t => {
      await here.call('POST', '/api/v1/configure', { queue: 'delayed', options: { delayedProcessing: 1 } })
      const polled = await park('delayed')
      const pushedAt = performance.now()
      await here.push([{ queue: 'delayed', payload: 1 }])
      t.strictSame(payloads(await polled.answer), [1])
      t.ok(performance.now() - pushedAt >= 990)
    })

    await t.test('the end of the window buffer', async t => {
      await here.call('POST', '/api/v1/configure', { queue: 'window', options: { windowBuffer: 1 } })
      const polled = await park('window?batch=10')
      await here.push([{ queue: 'window', payload: 1 }])
      await here.push([{ queue: 'window', payload: 2 }])
      const pushedAt = performance.now()
      t.strictSame(payloads(await polled.answer), [1, 2], 'one answer with all that came within the window')
      t.ok(performance.now() - pushedAt >= 900)
    })

    await t.test('a push to a queue of the namespace or task it waits for', async t => {
      const byNamespace = await park('?namespace=orders')
      await here.push([{ queue: 'invoices.print', payload: 0 }, { queue: 'orders.print', payload: 1 }])
      t.strictSame(payloads(await byNamespace.answer), [1])
      const byTask = await park('?task=mail')
      await here.push([{ queue: 'orders.mail', payload: 2 }])
      t.strictSame(payloads(await byTask.answer), [2])
      const byBoth = await park('?namespace=shop&task=pack')
      await here.push([{ queue: 'shop.mail', payload: 0 }, { queue: 'other.pack', payload: 0 }, { queue: 'shop.pack', payload: 3 }])
      t.strictSame(payloads(await byBoth.answer), [3])
    })

    await t.test('a queue with messages that comes under its namespace', async t => {
      await here.push([{ queue: 'unlabelled', payload: 1 }])
      const polled = await park('?namespace=labelled')
      await here.call('POST', '/api/v1/configure', { queue: 'unlabelled', namespace: 'labelled' })
      t.strictSame(payloads(await polled.answer), [1])
    })
  })
}
