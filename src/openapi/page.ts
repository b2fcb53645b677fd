import { type Asset, createAsset } from './asset.ts'

/**
 * Only the service itself may be asked, so that no version of the page can call out. Styles have to be
 * inline because the script makes them; scripts must not be.
 */
export const pagePolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "media-src 'self' blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ')

// Everything that would ask another host is off: fonts, telemetry, the AI agent, sharing, Scalar's own client.
const CONFIGURATION = {
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  hideClientButton: true,
  showDeveloperTools: 'never',
  documentDownloadType: 'json',
  orderSchemaPropertiesBy: 'preserve',
}

/**
 * The page, as HTML: the script finds its configuration in the element `api-reference`.
 *
 * @param paths of what it loads, from the root on: the page has no slash at its end, to which they could be relative
 */
export function renderPage(title: string, paths: { document: string; script: string }): string {
  const configuration = JSON.stringify({ url: paths.document, ...CONFIGURATION })
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <link rel="icon" href="data:," />
    <title>${escapeHtml(title)}</title>
  </head>
  <body>
    <script id="api-reference" data-configuration="${escapeHtml(configuration)}"></script>
    <script src="${escapeHtml(paths.script)}"></script>
  </body>
</html>
`
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

/**
 * The script of the page. The package holds it (5 MB) as a string in its own module, which takes 100 ms and
 * 30 MB to import: too much for every boot, so a small app of its own serves it once, at the first visit.
 */
export async function loadScript(): Promise<Asset> {
  const { default: reference } = await import('@scalar/fastify-api-reference')
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.register(reference, {
    routePrefix: '/docs',
    // It wants to know of one, whatever the page then says.
    configuration: { url: '/openapi.json' },
  })
  const { rawPayload } = await app.inject('/docs/js/scalar.js')
  await app.close()
  return createAsset('text/javascript; charset=utf-8', rawPayload)
}
