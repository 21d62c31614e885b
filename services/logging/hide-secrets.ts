// Nothing that is worth reading is longer, and what clients made us say is not to fill disks.
const LONGEST_TEXT = 8000
// Whose name and password it is can be looked up; a text is all we have. Up to the last @, as URLs are read.
const CREDENTIALS = /:\/\/[^\s/]*@/g
// Keys of services are often part of the query. The bound keeps a text of nothing but `://` from taking long.
const QUERY = /(:\/\/[^\s?#"']{0,200})[?#][^\s"']+/g
const ASSIGNMENT = /\b(password|passwd|pwd|secret|token|cookie|authorization)=[^\s&"']+/gi
const BEARER = /\bBearer [\w.~+/=-]+/gi

/** A text that may be logged or printed: URLs without credentials and query, no passwords and tokens, of bounded length. */
export function hideSecrets (text: string): string {
  return text.slice(0, LONGEST_TEXT)
    .replace(CREDENTIALS, '://***@')
    .replace(QUERY, '$1?***')
    .replace(ASSIGNMENT, '$1=***')
    .replace(BEARER, 'Bearer ***')
}
