import t from 'tap'
import { UsageError, readArguments } from '../../scripts/bench/arguments.ts'

t.test('only a whole run as it is by default is written to the docs', async t => {
  t.equal(readArguments([]).out, 'docs')
  t.equal(readArguments(['--workers', '1,2,4']).out, 'docs')
  for (const args of [['--only', 'push'], ['--seconds', '1'], ['--warm-up', '0'], ['--repeat', '1'], ['--profile', 'x']]) t.equal(readArguments(args).out, null, args.join(' '))
  t.equal(readArguments(['--seconds', '1', '--out', 'elsewhere']).out, 'elsewhere')
})

t.test('a profile needs one repetition, everything else three', async t => {
  t.equal(readArguments([]).repeat, 3)
  t.equal(readArguments(['--profile', 'x']).repeat, 1)
  t.equal(readArguments(['--profile', 'x', '--repeat', '2']).repeat, 2)
})

t.test('lists are read, and numbers that are none are refused by name', async t => {
  t.strictSame(readArguments(['--only', 'push,pop', '--only', 'wake']).only, ['push', 'pop', 'wake'])
  t.strictSame(readArguments(['--workers', '1,2,4']).workers, [1, 2, 4])
  for (const [name, value] of [['seconds', '0'], ['seconds', 'x'], ['repeat', ''], ['workers', '1,'], ['warm-up', '-1']] as const) {
    t.throws(() => readArguments([`--${name}=${value}`]), { constructor: UsageError, message: new RegExp(`^--${name} `) }, `${name} ${value}`)
  }
})
