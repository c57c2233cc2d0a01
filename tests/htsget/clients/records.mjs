// Reads regions through @gmod/bam, as JBrowse 2 does. Arguments: URL of the endpoint, id, regions as [[contig, start, end]].
import { HtsgetFile } from '@gmod/bam'

const [baseUrl, trackId, regions] = process.argv.slice(2)
const file = new HtsgetFile({ baseUrl, trackId })
await file.getHeader()
const found = []
for (const [contig, start, end] of JSON.parse(regions)) {
  const records = await file.getRecordsForRange(contig, start, end)
  found.push(records.map(record => [record.name, record.start, record.flags]))
}
console.log(JSON.stringify(found))
