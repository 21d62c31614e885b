// The image, the Compose file and the Kubernetes manifest, as far as they can be checked without the programs they are for.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ERRORS } from '../../services/errors.ts'
import { REGENT_OPTIONS, SERVER_OPTIONS } from '../../services/options.ts'
import { findProcesses, makeFolder } from '../fixtures/embedded-postgres.ts'
import { projectDir, readyUrl, spawnServer } from '../fixtures/server-process.ts'
import { createDatabase, request, startService, until } from '../support.ts'
import { all, command, composeService, imageEnvironment, isSent, read, wordsOf } from './deployment-files.ts'

const dockerfile = read('Dockerfile')
const dockerignore = read('.dockerignore')
const regentService = composeService(read('compose.yaml'), 'regent')
const manifest = read('docs/operations/kubernetes.yaml')
const { scripts, engines } = JSON.parse(read('package.json')) as { scripts: Record<string, string>, engines: { node: string } }

const OPTIONS = new Set([...Object.values(SERVER_OPTIONS), ...Object.values(REGENT_OPTIONS)].map(rule => rule.env))
const PORT = String(SERVER_OPTIONS.port.default)
const SHUTDOWN_SECONDS = Number(SERVER_OPTIONS.shutdownTimeoutMs.default) / 1000
const canMakeNamespaces = spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0

t.test('everything that is copied into the image is there, and sent to the builder', async t => {
  const copied = wordsOf(dockerfile, 'COPY').filter(words => !words.startsWith('--from=')).flatMap(words => words.split(/\s+/).slice(0, -1))
  t.ok(copied.includes('.'), 'the sources are copied')
  for (const source of copied) {
    t.ok(existsSync(join(projectDir, source)), source)
    if (source !== '.') t.ok(isSent(dockerignore, source), source)
  }
  for (const source of wordsOf(dockerfile, 'COPY').flatMap(words => /^--from=\w+ \/app\/(\S+)/.exec(words)?.[1] ?? [])) {
    t.ok(['node_modules', 'dist'].includes(source), `${source} is what an earlier stage makes`)
  }
})

t.test('the builder gets all that is compiled, and nothing that is nobody\'s business', async t => {
  const tsc = join(projectDir, 'node_modules/typescript/bin/tsc')
  const compiled = execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--listFilesOnly'], { cwd: projectDir, encoding: 'utf8' }).trim().split('\n')
    .filter(file => !file.includes('/node_modules/')).map(file => file.slice(projectDir.length))
  t.ok(compiled.includes('server.ts'))
  const [, copySql = ''] = /node (\S+)$/.exec(scripts.build ?? '') ?? []
  const needed = [...compiled, copySql, ...['migrations', 'functions'].map(name => `services/database/${name}`), 'tsconfig.json', 'tsconfig.build.json']
  for (const file of needed) {
    t.ok(existsSync(join(projectDir, file)), file)
    t.ok(isSent(dockerignore, file), file)
  }
  for (const file of ['.env', '.git', 'data', 'dist', 'node_modules', 'test', 'docs']) t.notOk(isSent(dockerignore, file), file)
})

t.test('it starts what npm start starts, without a shell in between, and not as root', async t => {
  t.same(['exec', ...command(dockerfile, 'CMD')].join(' '), scripts.start)
  t.notSame(wordsOf(dockerfile, 'USER').at(-1)?.split(':')[0], 'root')
  const [, folder = ''] = /^(\S+)$/.exec(wordsOf(dockerfile, 'VOLUME').join()) ?? []
  t.equal(imageEnvironment(dockerfile).DATA_DIR, folder, 'what it writes goes to the volume')
  t.match(regentService, new RegExp(`- \\w+:${folder}$`, 'm'))
  t.match(manifest, `mountPath: ${folder}\n`)
})

t.test('the image has a Node that is tested', async t => {
  const versions = new Set(all(dockerfile, /^FROM node:(\d+)-/gm))
  t.equal(versions.size, 1, 'one for all stages')
  const tested = /node: \[([\d, ]+)\]/.exec(read('.github/workflows/ci.yml'))?.[1]?.split(', ')
  for (const version of versions) {
    t.ok(tested?.includes(version), `${version} is in the matrix ${tested?.join()}`)
    t.ok(Number(version) >= Number.parseInt(engines.node.replace('>=', '')))
  }
})

t.test('every variable is an option that exists', async t => {
  const named = [
    ...Object.keys(imageEnvironment(dockerfile)).filter(name => name !== 'NODE_ENV'),
    ...all(regentService, /^ {6}([A-Z][A-Z0-9_]+):/gm),
    ...all(manifest, /^ +- name: ([A-Z][A-Z0-9_]+)$/gm)
  ]
  t.ok(named.includes('DATABASE_URL') && named.includes('DATA_DIR') && named.includes('WORKER_ID'))
  for (const name of named) t.ok(OPTIONS.has(name), name)
})

t.test('ports are the one that is listened on', async t => {
  t.equal(imageEnvironment(dockerfile).PORT, PORT)
  t.same(wordsOf(dockerfile, 'EXPOSE'), [PORT])
  t.same(all(regentService, /- "\d+:(\d+)"/g), [PORT])
  const ports = all(manifest, /(?:containerPort|port|targetPort): (\d+)$/gm)
  t.ok(ports.length >= 2)
  t.same(ports.filter(port => port !== PORT), [])
})

t.test('nobody is stopped before SHUTDOWN_TIMEOUT is over', async t => {
  t.ok(Number(/stop_grace_period: (\d+)s/.exec(regentService)?.[1]) > SHUTDOWN_SECONDS)
  const waitMs = Number(/setTimeout\(\(\) => \{\}, (\d+)\)/.exec(manifest)?.[1])
  t.ok(Number(/terminationGracePeriodSeconds: (\d+)/.exec(manifest)?.[1]) > SHUTDOWN_SECONDS + waitMs / 1000)
})

t.test('probes find a pod whose database is away alive and ready for pushes; the health check of the image does not', async t => {
  const service = await startService(t, { databaseUrl: 'postgres://nobody@127.0.0.1:1/none', fileBufferDir: join(makeFolder(t), 'buffer') })
  const paths = all(manifest, /^ +path: (\/\S*)$/gm)
  t.equal(paths.length, 3)
  for (const path of paths) t.equal((await service.call('GET', path)).status, 200, path)
  t.match((await service.push([{ queue: 'q', payload: 1 }])).json, [{ status: 'buffered' }])
  t.equal(await health(service.url), 1)

  const other = await startService(t, { prefix: '/mq' })
  t.equal(await health(other.url, '/mq'), 0)
  t.equal(await health(other.url, '/elsewhere'), 1)
})

/** How the image's own check ends for a service. */
async function health (url: string, prefix?: string): Promise<unknown> {
  const [, ...args] = command(dockerfile, 'HEALTHCHECK')
  const child = spawn(process.execPath, args, {
    env: { PORT: new URL(url).port, ...(prefix === undefined ? {} : { ROUTE_PREFIX: prefix }) },
    stdio: 'ignore'
  })
  const [code] = await once(child, 'exit')
  return code
}

t.test('as process 1 of its container it still stops in order when it is told to', { skip: canMakeNamespaces ? false : 'no process namespaces here' }, async t => {
  const script = join(projectDir, 'dist/server.js')
  const server = spawnServer(t, {
    env: { DATABASE_URL: await createDatabase(t), FILE_BUFFER_DIR: 'off' },
    command: ['unshare', '--pid', '--fork', '--kill-child', process.execPath, script]
  })
  const url = await readyUrl(server)
  const waiting = request(`${url}/api/v1/pop/queue/q?wait=true&timeout=60000`)
  const inside = findProcesses(script).find(({ ppid, pid }) => ppid === server.pid && pid !== server.pid)
  if (inside === undefined) throw new Error('the server is not to be found')
  t.match(readFileSync(`/proc/${inside.pid}/status`, 'utf8'), /^NSpid:.*\s1$/m, 'it is process 1 there')
  await until(async () => (await request(`${url}/health`)).json.load.parkedPops === 1)
  process.kill(inside.pid, 'SIGTERM')
  t.match(await waiting, { status: 200, json: { messages: [] } }, 'whoever waits is answered')
  t.equal(await server.ended, 0, server.output())
  t.match(server.output(), '"stopped"')
})

t.test('the guides name options, errors and pages that exist', async t => {
  const folder = join(projectDir, 'docs/operations')
  // Of Node, the Compose file, the Dockerfile and an example.
  const others = new Set(['NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS', 'SPANS_FILE', 'POSTGRES_PASSWORD', 'EMBEDDED_POSTGRES'])
  for (const name of readdirSync(folder).filter(name => name.endsWith('.md'))) {
    const text = readFileSync(join(folder, name), 'utf8')
    for (const word of all(text, /\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b/g)) {
      t.ok(OPTIONS.has(word) || others.has(word) || Object.hasOwn(ERRORS, word), `${name}: ${word}`)
    }
    for (const link of all(text, /\]\((?!https?:)([^)#]+)/g)) t.ok(existsSync(join(folder, link)), `${name}: ${link}`)
  }
})
