// The official `openai` package for Node, unchanged, against the gateway. Run by run.py.
import assert from 'node:assert/strict'
import test from 'node:test'
import OpenAI from 'openai'

const { BASE, KEY, POOR_KEY, SWITCH } = process.env
const model = 'gpt-4o-mini'
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather of a city.', parameters } }]

const client = (apiKey = KEY) => new OpenAI({ baseURL: BASE, apiKey, maxRetries: 0 })
const asks = (content) => [{ role: 'user', content }]
/** How the provider answers the next request. */
const then = async (name) => assert.equal((await fetch(`${SWITCH}/${name}`)).status, 200)

test('a whole answer', async () => {
  await then('words')
  const answer = await client().chat.completions.create({ model, messages: asks('Count.') })
  assert.equal(answer.choices[0].message.content, 'one two three four')
  assert.equal(answer.choices[0].finish_reason, 'stop')
  assert.equal(answer.usage.completion_tokens, 4)
})

test('a stream', async () => {
  await then('words')
  const options = { model, messages: asks('Count.'), stream: true, stream_options: { include_usage: true } }
  let text = ''
  let usage
  for await (const chunk of await client().chat.completions.create(options)) {
    text += chunk.choices[0]?.delta.content ?? ''
    usage = chunk.usage ?? usage
  }
  assert.equal(text, 'one two three four')
  assert.equal(usage.completion_tokens, 4)
})

test('tools, whole and streamed', async () => {
  await then('tools')
  const answer = await client().chat.completions.create({ model, messages: asks('Weather?'), tools })
  const { message } = answer.choices[0]
  assert.deepEqual(message.tool_calls[0].function, { name: 'weather', arguments: '{"city":"Porto"}' })
  const result = { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'sunny' }
  await then('words')
  const end = await client().chat.completions.create({ model, messages: [...asks('Weather?'), message, result], tools })
  assert.equal(end.choices[0].message.content, 'one two three four')
  await then('tools')
  const streamed = await client().chat.completions.stream({ model, messages: asks('Weather?'), tools }).finalMessage()
  assert.equal(streamed.tool_calls[0].function.arguments, '{"city":"Porto"}')
})

test('memory by header', async () => {
  const headers = { 'X-RAE-Memory': 'on', 'X-Session-ID': 'node', 'X-User-ID': 'ben' }
  let last
  for (const text of ['My dog is called Rex.', 'What is my dog called?']) {
    await then('words')
    last = await client().chat.completions.create({ model, messages: asks(text) }, { headers }).withResponse()
  }
  assert.ok(Number(last.response.headers.get('x-rae-memories')) >= 1)
  assert.ok(Number(last.response.headers.get('x-rae-cost-usd')) > 0)
})

test('errors are those of the package', async () => {
  const ask = (key, more = {}) => client(key).chat.completions.create({ model, messages: asks('x'), ...more })
  await assert.rejects(ask('rae_nonsense'), (e) => e instanceof OpenAI.AuthenticationError && e.code === 'unknown_key')
  for (const stream of [false, true]) {
    await assert.rejects(ask(POOR_KEY, { stream }), (e) => e instanceof OpenAI.APIError && e.status === 402 && e.code === 'daily_usd_budget_exceeded')
  }
  await then('rate-limited')
  await assert.rejects(ask(), (e) => e instanceof OpenAI.RateLimitError && e.headers.get('retry-after') === '77')
  await then('context-length')
  await assert.rejects(ask(), (e) => e instanceof OpenAI.BadRequestError && e.code === 'context_length')
  await assert.rejects(ask(KEY, { n: 2 }), (e) => e instanceof OpenAI.BadRequestError && e.code === 'unsupported_option')
  await then('error-inside')
  const broken = async () => {
    for await (const _ of await ask(KEY, { stream: true }));
  }
  await assert.rejects(broken(), (e) => e instanceof OpenAI.APIError && e.code === 'provider_unavailable')
})

test('models', async () => {
  const ids = []
  for await (const { id } of client().models.list()) ids.push(id)
  assert.ok(ids.includes(`openai/${model}`), `${ids}`)
})
