/**
 * What all answers tell a browser: they are data, whatever somebody has put into them, and never a page, a script or part of
 * one; and payloads are not to be kept in its cache.
 */
export const SECURITY_HEADERS: ReadonlyArray<readonly [name: string, value: string]> = [
  ['x-content-type-options', 'nosniff'],
  ['content-security-policy', "default-src 'none'; frame-ancestors 'none'"],
  ['cache-control', 'no-store']
]
