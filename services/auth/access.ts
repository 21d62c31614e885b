/**
 * What a route needs. `public`: nothing; `read`: look at things, messages included; `produce`: push; `consume`: take
 * messages and say what became of them; `transact`: both at once; `write`: everything else that changes something;
 * `admin`: what cannot be undone or concerns everybody.
 */
export type Access = 'public' | 'read' | 'produce' | 'consume' | 'transact' | 'write' | 'admin'

/** Everything but `public`: somebody has to be allowed it. */
export type NeededAccess = Exclude<Access, 'public'>

export type Role = 'read-only' | 'produce-only' | 'consume-only' | 'read-write' | 'admin'

/** What fulfils a need: any one of these, each of them being a set of roles. */
const FULFILLED_BY: Readonly<Record<NeededAccess, readonly (readonly Role[])[]>> = {
  read: [['read-only'], ['read-write'], ['admin']],
  produce: [['produce-only'], ['read-write'], ['admin']],
  consume: [['consume-only'], ['read-write'], ['admin']],
  transact: [['produce-only', 'consume-only'], ['read-write'], ['admin']],
  write: [['read-write'], ['admin']],
  admin: [['admin']]
}

const NEEDS = Object.keys(FULFILLED_BY) as NeededAccess[] // its keys are typed so

/** What somebody with these roles may do. */
export function accessOf (roles: ReadonlySet<Role>): ReadonlySet<NeededAccess> {
  return new Set(NEEDS.filter(need => FULFILLED_BY[need].some(set => set.every(role => roles.has(role)))))
}

/** The roles that fulfil a need, under the names they have in tokens, as a sentence says them. */
export function rolesFor (need: NeededAccess, names: Readonly<Record<Role, string>>): string {
  return FULFILLED_BY[need].map(set => set.map(role => names[role]).join(' with ')).join(', ')
}
