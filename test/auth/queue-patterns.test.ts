import t from 'tap'
import { readPatterns } from '../../services/auth/caller.ts'
import { QueuePatterns } from '../../services/auth/queue-patterns.ts'

const fits = (pattern: string, name: string): boolean => new QueuePatterns([pattern]).fit(name)

t.test('an asterisk stands for any characters, everything else for itself', async t => {
  for (const [pattern, names] of Object.entries({
    orders: ['orders'],
    '*': ['', 'orders', 'a*b'],
    'orders.*': ['orders.', 'orders.x', 'orders.x.y'],
    '*.orders': ['.orders', 'a.orders', 'a.b.orders', '.orders.orders'],
    'a*b': ['ab', 'axb', 'a*b', 'abab'],
    'a*b*c': ['abc', 'axbxc', 'abbc', 'abcbc', 'acbc'],
    'a**b': ['ab', 'a*b', 'axyb'],
    '**': ['', 'x'],
    'a.c': ['a.c'],
    '[a-c]+(x|y)?$^\\': ['[a-c]+(x|y)?$^\\'],
    'ü*\u{1f389}': ['ü\u{1f389}', 'üx\u{1f389}']
  })) for (const name of names) t.ok(fits(pattern, name), `${pattern} ${name}`)
  for (const [pattern, names] of Object.entries({
    orders: ['', 'order', 'orders2', 'Orders', 'my-orders', ' orders', 'orders\n'],
    'orders.*': ['orders', 'ordersx', 'my.orders.x'],
    '*.orders': ['orders', 'a.orders2'],
    'a*b': ['a', 'b', 'ba', 'abc', 'Ab'],
    'aba*aba': ['aba', 'abaaba2', 'ababa'],
    'a*b*c': ['ac', 'acb', 'bac', 'abcx'],
    'a.c': ['abc'],
    '?': ['x'],
    '[ab]': ['a']
  })) for (const name of names) t.notOk(fits(pattern, name), `${pattern} ${name}`)
})

t.test('it decides as a straightforward matcher does, for every short pattern and name', async t => {
  const words = (alphabet: string, length: number): string[] =>
    length === 0 ? [''] : words(alphabet, length - 1).flatMap(word => word.length === length - 1 ? [word, ...Array.from(alphabet, letter => word + letter)] : [word])
  const slow = (pattern: string, name: string): boolean => pattern === ''
    ? name === ''
    : pattern.startsWith('*')
      ? slow(pattern.slice(1), name) || (name !== '' && slow(pattern, name.slice(1)))
      : name.startsWith(pattern.charAt(0)) && slow(pattern.slice(1), name.slice(1))
  let wrong = 0
  let compared = 0
  for (const pattern of words('ab*', 5)) {
    for (const name of words('ab', 5)) {
      compared++
      if (fits(pattern, name) !== slow(pattern, name)) wrong++
    }
  }
  t.ok(compared > 20_000)
  t.equal(wrong, 0)
})

t.test('one of several patterns is enough, and none fits nothing', async t => {
  t.ok(new QueuePatterns(['a', 'b.*']).fit('b.c'))
  t.notOk(new QueuePatterns(['a', 'b.*']).fit('c'))
  t.notOk(new QueuePatterns([]).fit(''))
})

t.test('patterns made to be tried over and over are gone through once', async t => {
  // With backtracking these would take longer than the test may.
  const name = 'a'.repeat(200_000)
  for (const pattern of [`${'a*'.repeat(50_000)}b`, `*${'*a'.repeat(50_000)}*b*`, `${'*a'.repeat(100)}b`, `*${'a'.repeat(1000)}b*`, '*'.repeat(100_000) + 'b']) {
    t.notOk(fits(pattern, name))
  }
  t.ok(fits('a*'.repeat(50_000), name))
})

t.test('what are no patterns is refused', async t => {
  t.ok(readPatterns([], 'queues'))
  t.ok(readPatterns(Array.from({ length: 100 }, () => 'x'.repeat(255)), 'queues'))
  for (const value of [undefined, null, '*', {}, [1], [null], [''], ['a', ['b']], ['x'.repeat(256)], ['a\0'], ['\ud800'], Array.from({ length: 101 }, () => 'x')]) {
    t.throws(() => readPatterns(value, 'queues'), { name: 'TypeError', message: 'queues must be at most 100 texts of 1 to 255 characters' })
  }
})
