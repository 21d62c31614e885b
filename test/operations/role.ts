// A database role for a test.
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { connect, createDatabase, databaseUrl } from '../support.ts'

export interface Owner {
  role: string
  /** The database as the role connects to it. */
  url: string
  /** The same as its administrator does. */
  adminUrl: string
}

/** A role that may connect to a database of its own and owns one schema there, and nothing else anywhere; dropped with it. */
export async function createSchemaOwner (t: Test, schema: string): Promise<Owner> {
  const role = `role_${randomBytes(6).toString('hex')}`
  const admin = connect(t, databaseUrl(), 1)
  // Behind the end of the database, with which everything goes that belongs to the role.
  t.teardown(async () => { await admin.unsafe(`drop role if exists ${role}`) })
  const adminUrl = await createDatabase(t)
  const url = new URL(adminUrl)
  const database = url.pathname.slice(1)
  await admin.unsafe(`create role ${role} login password 'secret' nosuperuser nocreatedb nocreaterole`)
  await admin.unsafe(`revoke all on database ${database} from public`)
  await admin.unsafe(`grant connect on database ${database} to ${role}`)
  const inside = connect(t, adminUrl, 1)
  await inside.unsafe('revoke create on schema public from public')
  await inside.unsafe(`create schema ${schema} authorization ${role}`)
  url.username = role
  url.password = 'secret'
  return { role, url: url.href, adminUrl }
}
