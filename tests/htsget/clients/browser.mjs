// Opens a page with igv.js in a browser without a window, loads tracks and tells what they show.
// Arguments: URL of the page, path of the browser, configuration of igv (JSON), locus as [contig, start, end].
import { chromium } from 'playwright-core'

const [page_url, executablePath, config, locus] = process.argv.slice(2)
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
const errors = []
try {
  const page = await browser.newPage({ viewport: { width: 1000, height: 700 } })
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  page.on('pageerror', error => errors.push(String(error)))
  page.on('requestfailed', request => errors.push(`${request.url()}: ${request.failure()?.errorText}`))
  await page.goto(page_url)
  const tracks = await page.evaluate(
    async ([config, [contig, start, end]]) => {
      const igv = (await import('/igv.esm.min.js')).default
      const viewer = await igv.createBrowser(document.getElementById('igv'), config)
      const found = {}
      for (const { name } of config.tracks) {
        const view = viewer.trackViews.find(view => view.track.name === name)
        const features = await view.track.getFeatures(contig, start, end, 1)
        const records = Array.isArray(features) ? features : features.allAlignments()
        await view.updateViews()
        const pixels = view.viewports
          .flatMap(viewport => [...viewport.viewportElement.querySelectorAll('canvas')])
          .map(canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)
        found[name] = {
          records: records.map(each => [each.readName ?? each.id ?? each.names, each.start]),
          painted: pixels.reduce((sum, data) => sum + data.filter((value, at) => at % 4 === 3 && value > 0).length, 0),
        }
      }
      return found
    },
    [JSON.parse(config), JSON.parse(locus)],
  )
  const picture = await page.screenshot()
  console.log(JSON.stringify({ tracks, errors, picture: picture.length }))
} finally {
  await browser.close()
}
