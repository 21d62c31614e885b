import t from 'tap'
import type { Service } from '../support.ts'
import { startService } from '../support.ts'

t.test('subscriptions', async t => {
  const service = await startService(t)
  const data = async (path: string, from: Service = service): Promise<number[]> =>
    (await from.pop(path)).json.messages.map((message: any) => message.data)
  const push = async (queue: string, ...numbers: number[]): Promise<void> => {
    for (const payload of numbers) await service.push([{ queue, payload }])
  }

  t.test('starts a new group at the beginning unless told otherwise', async t => {
    await push('q', 1, 2)
    for (const [group, query] of [['g1', ''], ['g2', '&subscriptionMode=all'], ['g3', '&subscriptionMode='], ['g4', '&subscriptionMode=whatever'], ['g5', '&subscriptionFrom=']]) {
      t.same(await data(`q?batch=9&consumerGroup=${group}${query}`), [1, 2], `${group}${query}`)
    }
  })

  t.test('starts a new group now in the modes new and new-only, and from now', async t => {
    await push('now', 1, 2)
    const queries = ['subscriptionMode=new', 'subscriptionMode=new-only', 'subscriptionFrom=now', 'subscriptionMode=all&subscriptionFrom=now']
    for (const [i, query] of queries.entries()) t.same(await data(`now?batch=9&consumerGroup=g${i}&${query}`), [], query)
    await push('now', 3)
    for (const [i, query] of queries.entries()) t.same(await data(`now?batch=9&consumerGroup=g${i}&${query}`), [3], query)
  })

  t.test('starts a new group at a time, to the microsecond', async t => {
    await push('times', 1, 2, 3)
    const { messages } = (await service.pop('times?batch=9')).json
    const at = (i: number): string => encodeURIComponent(messages[i].createdAt)
    t.same(await data(`times?batch=9&consumerGroup=g1&subscriptionFrom=${at(1)}`), [2, 3])
    t.same(await data(`times?batch=9&consumerGroup=g2&subscriptionFrom=${at(2)}&subscriptionMode=new`), [3], 'a time wins over the mode')
    const texts = ['2020-01-01', '2020-01-01T00:00Z', '2020-01-01 10:00', '2020-01-01T10:00:00.123456789Z', '2020-02-29T10:00:00%2B05:30', '2020-01-01T10:00:00-0800', '2020-01-01T23:59:59%2B15', '0001-01-01']
    for (const [i, text] of texts.entries()) t.same(await data(`times?batch=9&consumerGroup=t${i}&subscriptionFrom=${text}`), [1, 2, 3], text)
    t.same(await data('times?batch=9&consumerGroup=future&subscriptionFrom=2999-01-01'), [])
  })

  t.test('refuses a time that cannot be read, at once and without creating the group', async t => {
    await push('bad', 1)
    const texts = ['yesterday', '2026-02-30', '2026-13-01', '0000-01-01', '2026-01-01T24:00:00Z', '2026-01-01T10:60', '2026-01-01T00:00:00%2B16:00', '2026-1-1', '1767225600', '2026-01-01%00']
    for (const text of texts) {
      const { status, json } = await service.pop(`bad?consumerGroup=g&subscriptionFrom=${text}`)
      t.equal(status, 400, text)
      t.match(json, { code: 'RGT_FIELD_INVALID', field: 'subscriptionFrom' })
    }
    t.same(await data('bad?consumerGroup=g&subscriptionMode=new'), [], 'the group was not there yet')
  })

  t.test('remembers where a group started: later parameters change nothing', async t => {
    await push('memory', 1)
    t.same(await data('memory?consumerGroup=g&subscriptionMode=new'), [])
    t.same(await data('memory?consumerGroup=g&subscriptionMode=all'), [])
    await service.push([{ queue: 'memory', partition: 'fresh', payload: 2 }])
    t.same(await data('memory?consumerGroup=g&subscriptionMode=all&batch=9&partitions=9'), [2], 'a partition that came later is new as a whole')
  })

  t.test('has no start for queue mode', async t => {
    await push('mode', 1)
    t.same(await data('mode?subscriptionMode=new&subscriptionFrom=now'), [1])
  })

  t.test('takes the service\'s default mode where a pop names none', async t => {
    const fresh = await startService(t, { databaseUrl: service.databaseUrl, defaultSubscriptionMode: 'new' })
    await push('default', 1)
    t.same(await data('default?consumerGroup=g', fresh), [])
    t.same(await data('default?consumerGroup=h&subscriptionMode=all', fresh), [1])
    t.same(await data('default', fresh), [1], 'not in queue mode')
  })
})
