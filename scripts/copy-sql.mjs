// The compiler leaves .sql files behind; the migrator reads them from beside its own module. What was there before goes: a
// file that has been renamed would be applied under both names.
import { cp, rm } from 'node:fs/promises'

for (const folder of ['migrations', 'functions']) {
  await rm(`dist/services/database/${folder}`, { recursive: true, force: true })
  await cp(`services/database/${folder}`, `dist/services/database/${folder}`, { recursive: true })
}
