// The compiler leaves .sql files behind; the migrator reads them from beside its own module.
import { cp } from 'node:fs/promises'

for (const folder of ['migrations', 'functions']) {
  await cp(`services/database/${folder}`, `dist/services/database/${folder}`, { recursive: true })
}
