// The ways of sharp for bench/processing.py: reads commands, one JSON a line, answers each with CPU and wall milliseconds and files.
// {"source": PATH, "format": "webp" | "jpeg", "options": {...}, "wanted": [[width, height, quality, [left, top, right, bottom] or null], ...], "threads": 1, "out": FOLDER or ""}
import { createRequire } from 'node:module'
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

const sharp = createRequire(process.argv[2] + '/')('sharp')
sharp.cache(false)

for await (const line of createInterface({ input: process.stdin })) {
  const { source, format, options, wanted, threads, out } = JSON.parse(line)
  const data = readFileSync(source)
  sharp.concurrency(threads)
  const spent = process.cpuUsage()
  const began = process.hrtime.bigint()
  const files = []
  for (const [width, height, quality, box] of wanted) {
    const [left, top, right, bottom] = box ?? []
    const part = box ? sharp(data).extract({ left, top, width: right - left, height: bottom - top }) : sharp(data)
    files.push(await part.resize(width, height, { fit: 'fill', kernel: 'lanczos3' }).toFormat(format, { quality, ...options }).toBuffer())
  }
  const wall = Number(process.hrtime.bigint() - began) / 1e6
  const { user, system } = process.cpuUsage(spent)
  if (out) files.forEach((file, number) => writeFileSync(`${out}/${number}`, file))
  console.log(JSON.stringify({ cpu: (user + system) / 1e3, wall, bytes: files.reduce((sum, file) => sum + file.length, 0) }))
}
