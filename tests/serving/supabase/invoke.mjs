// Calls functions with Supabase's own client, under the rules that a browser puts on a page of another origin.
// node invoke.mjs BASE_URL CALLS, where CALLS is JSON: [{"name": ..., "body": ..., "headers": {...}}]; prints JSON.

import { FunctionsClient } from '@supabase/functions-js'

const ORIGIN = 'https://app.example.org'
const SAFE = new Set(['accept', 'accept-language', 'content-language'])
const preflights = []

// What a browser does before and after a request to another origin (Fetch standard, sections 4.8 and 4.9).
async function browserFetch(url, options) {
  const headers = new Headers(options.headers)
  const asked = [...headers.keys()].filter((name) => !SAFE.has(name)).sort()
  const preflight = await fetch(url, {
    method: 'OPTIONS',
    headers: {
      Origin: ORIGIN,
      'Access-Control-Request-Method': options.method,
      'Access-Control-Request-Headers': asked.join(','),
    },
  })
  const allowed = list(preflight, 'access-control-allow-headers')
  const methods = list(preflight, 'access-control-allow-methods')
  preflights.push({ status: preflight.status, asked, allowed })
  if (!preflight.ok || !permits(preflight)) throw new TypeError('Failed to fetch: the preflight is refused')
  if (!methods.includes(options.method.toLowerCase())) throw new TypeError('Failed to fetch: the method is refused')
  const refused = asked.filter((name) => !allowed.includes(name))
  if (refused.length) throw new TypeError(`Failed to fetch: refused headers ${refused}`)
  headers.set('Origin', ORIGIN)
  const response = await fetch(url, { ...options, headers })
  if (!permits(response)) throw new TypeError('Failed to fetch: the answer is for no other origin')
  return response
}

function list(response, name) {
  return (response.headers.get(name) ?? '').toLowerCase().split(',').map((item) => item.trim())
}

function permits(response) {
  return ['*', ORIGIN].includes(response.headers.get('access-control-allow-origin'))
}

async function told(error) {
  if (!error) return null
  const context = error.context
  if (!(context instanceof Response)) return { name: error.name, cause: String(context?.message ?? context) }
  return { name: error.name, status: context.status, body: await context.json() }
}

const [base, calls] = process.argv.slice(2)
const client = new FunctionsClient(`${base}/functions/v1`, {
  headers: { apikey: 'public-anon-key', 'x-client-info': 'supabase-js-web/2.95.0' },
  customFetch: browserFetch,
})
client.setAuth('a-users-token')
const results = []
for (const { name, body, headers } of JSON.parse(calls)) {
  const { data, error } = await client.invoke(name, { body, headers })
  results.push({ data, error: await told(error) })
}
console.log(JSON.stringify({ results, preflights }))
