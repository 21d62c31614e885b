/**
 * A 53-bit hash of a transaction id, as a number so that it costs no allocation. Stored with every segment: changing
 * this function would let duplicates through until the deduplication window has passed.
 *
 * Two 32-bit lanes of multiply-xor steps with a final avalanche. It need not resist attackers: a hit is always
 * confirmed against the stored id.
 */
export function hashId (id: string): number {
  let a = 0x9e3779b1 | 0
  let b = 0x85ebca6b | 0
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x27d4eb2f)
    b = Math.imul(b ^ unit, 0x165667b1)
  }
  a = Math.imul(a ^ (a >>> 16), 0x21f0aaad) ^ Math.imul(b ^ (b >>> 13), 0x735a2d97)
  b = Math.imul(b ^ (b >>> 16), 0x735a2d97) ^ Math.imul(a ^ (a >>> 13), 0x21f0aaad)
  return (b >>> 11) * 0x100000000 + (a >>> 0)
}
