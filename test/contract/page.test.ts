import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { chromium } from 'playwright-core'
import type { Page } from 'playwright-core'
import t from 'tap'
import { startService } from '../support.ts'

const ARGUMENTS = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'
]
const LONGEST_MS = 30_000

const browser = browserPath()

/** Where Chromium is; undefined: it is not installed. */
function browserPath (): string | undefined {
  const folders = ['/usr/bin', ...(process.env.PATH ?? '').split(delimiter)]
  return folders.flatMap(folder => ['chromium', 'chromium-browser'].map(name => join(folder, name))).find(path => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

t.test('the page of the description in a browser', { skip: browser === undefined ? 'Chromium is not installed' : false }, async t => {
  const service = await startService(t, { prefix: '/mq' })
  const chrome = await chromium.launch({ ...(browser === undefined ? {} : { executablePath: browser }), args: ARGUMENTS, timeout: LONGEST_MS })
  t.teardown(async () => { await chrome.close() })
  const page = await chrome.newPage()
  page.setDefaultTimeout(LONGEST_MS)
  const complaints: string[] = []
  const hosts = new Set<string>()
  page.on('console', message => { if (message.type() !== 'log' && message.type() !== 'info') complaints.push(message.text()) })
  page.on('pageerror', error => { complaints.push(error.message) })
  page.on('requestfailed', request => { complaints.push(`${request.url()}: ${request.failure()?.errorText}`) })
  page.on('request', request => { if (/^https?:/.test(request.url())) hosts.add(new URL(request.url()).origin) })

  const { paths } = (await service.call('GET', '/mq/openapi.json')).json
  const described = Object.values<object>(paths).flatMap(methods => Object.keys(methods)).length

  await t.test('lists every operation', async t => {
    await page.goto(`${service.url}/mq/documentation`)
    await page.waitForSelector('.opblock')
    t.equal(await page.locator('.opblock').count(), described)
    t.equal(await page.title(), 'Regent')
  })

  await t.test('tries one against the service', async t => {
    await operation(page, 'push', '{"items":[{"queue":"from the page","transactionId":"tried","payload":{"a":1}}]}', 201)
    t.match((await service.call('GET', '/mq/api/v1/pop/queue/from%20the%20page')).json.messages, [{ transactionId: 'tried', data: { a: 1 } }])
    t.match(await operation(page, 'getHealth', null, 200), /"status": "healthy"/)
  })

  t.same(complaints, [], 'nothing is refused by its content security policy, and nothing goes wrong')
  t.same([...hosts], [service.url], 'nobody else is asked')
})

/** Opens an operation, sends it with a body and returns what the page shows of the answer, which has to have the status. */
async function operation (page: Page, id: string, body: string | null, status: number): Promise<string> {
  const block = page.locator(`.opblock[id$="-${id}"]`)
  await block.locator('.opblock-summary-control').click()
  if (body !== null) await block.locator('textarea.body-param__text').fill(body)
  await block.locator('button.execute').click()
  const live = block.locator('.live-responses-table .response')
  await live.locator('.response-col_status', { hasText: String(status) }).waitFor()
  return await live.locator('.response-col_description').first().innerText()
}
