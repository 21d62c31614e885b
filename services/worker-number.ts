/** The number a worker's name ends with, for those who know workers by number; 0 without one. */
export function workerNumber (workerId: string): number {
  const digits = /(\d{1,9})$/.exec(workerId)?.[1]
  return digits === undefined ? 0 : Number(digits)
}
