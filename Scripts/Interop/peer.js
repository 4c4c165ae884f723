// The same peer as Tests/InteropPeer, made of the JavaScript implementation: same commands, same
// options, same lines of JSON. Run by Scripts/interop with NODE_PATH set.
'use strict'
const os = require('os')
const path = require('path')
const DHT = require('hyperdht')

const [command, ...words] = process.argv.slice(2)
const options = {}
for (let i = 0; i < words.length; i += 2) options[words[i].replace(/^--/, '')] = words[i + 1]

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const key = (name) => Buffer.from(options[name], 'hex')
const number = (name, fallback) => (options[name] ? Number(options[name]) : fallback)
const say = (event, values = {}) => process.stdout.write(JSON.stringify({ event, ...values }) + '\n')
const fail = (reason) => {
  say('failed', { reason: String(reason) })
  process.exit(1)
}
process.on('uncaughtException', (error) => fail(error.stack))
process.on('unhandledRejection', (error) => fail(error && error.stack))

function streamBytes (offset, count) {
  const bytes = Buffer.alloc(count)
  for (let i = 0; i < count; i++) bytes[i] = ((offset + i) * 31 + ((offset + i) >> 8)) & 255
  return bytes
}

function block (index, size) {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = (index * 7 + i * 13) & 255
  return bytes
}

function hash (buffers) {
  const digest = Buffer.alloc(32)
  require('sodium-native').crypto_generichash_batch(digest, buffers)
  return hex(digest)
}

// Never without a list: nothing here may ask the public nodes.
const bootstrap = (options.bootstrap || '').split(',').filter(Boolean).map((word) => {
  const [host, port] = word.split(':')
  return { host, port: Number(port) }
})

async function node () {
  if (bootstrap.length === 0) fail('--bootstrap is needed')
  const dht = new DHT({ bootstrap, host: '127.0.0.1', port: [0, 0] })
  await dht.fullyBootstrapped()
  say('ready', { port: dht.address() && dht.address().port })
  return dht
}

async function dhtNode () {
  const host = '127.0.0.1'
  const dht = bootstrap.length
    ? new DHT({ bootstrap, host, port: [0, 0], ephemeral: false, firewalled: false })
    : DHT.bootstrapper(number('port', 0), host, { host, bootstrap: [] })
  await dht.fullyBootstrapped()
  say('ready', { port: dht.address().port })
}

async function serve (onconnection) {
  const dht = await node()
  const server = dht.createServer((connection) => {
    connection.on('error', () => {})
    connection.on('close', () => say('closed', { key: hex(connection.remotePublicKey) }))
    say('connected', { key: hex(connection.remotePublicKey), path: '' })
    onconnection(connection)
  })
  await server.listen(dht.defaultKeyPair)
  say('listening', { key: hex(server.publicKey) })
}

async function dial () {
  const dht = await node()
  const start = process.hrtime.bigint()
  const connection = dht.connect(key('peer'))
  connection.on('error', (error) => fail(error.message))
  await new Promise((resolve) => connection.once('open', resolve))
  say('connected', {
    key: hex(connection.remotePublicKey),
    path: '',
    milliseconds: Number(process.hrtime.bigint() - start) / 1e6
  })
  return connection
}

async function echoClient () {
  const total = number('bytes', 1 << 20)
  const connection = await dial()
  const start = process.hrtime.bigint()
  let sent = 0
  let echoed = 0
  const fill = () => {
    while (sent < total) {
      const count = Math.min(32768, total - sent)
      const more = connection.write(streamBytes(sent, count))
      sent += count
      if (!more) return
    }
  }
  connection.on('drain', fill)
  connection.on('data', (bytes) => {
    if (!bytes.equals(streamBytes(echoed, bytes.length))) fail('other bytes came back')
    echoed += bytes.length
    if (echoed < total) return
    const seconds = Number(process.hrtime.bigint() - start) / 1e9
    say('echoed', { bytes: total, megabytesPerSecond: total / 1e6 / seconds })
    process.exit(0)
  })
  fill()
}

const storage = () =>
  path.join(os.tmpdir(), `interop-${process.pid}-${Math.random().toString(36).slice(2)}`)

async function logServer () {
  const Hypercore = require('hypercore')
  const core = new Hypercore(storage(), { keyPair: require('hypercore-crypto').keyPair() })
  await core.ready()
  const blocks = []
  for (let i = 0; i < number('blocks', 100); i++) blocks.push(block(i, number('size', 100)))
  await core.append(blocks)
  say('log', { key: hex(core.key), hash: hash(blocks) })
  await serve((connection) => core.replicate(connection))
}

async function logClient () {
  const Hypercore = require('hypercore')
  const core = new Hypercore(storage(), key('key'))
  await core.ready()
  const finding = core.findingPeers()
  const connection = await dial()
  const start = process.hrtime.bigint()
  core.replicate(connection)
  core.once('peer-add', finding)
  await core.update({ wait: true })
  const indexes = options.indexes
    ? options.indexes.split(',').map(Number)
    : Array.from({ length: number('blocks', 100) }, (_, i) => i)
  if (!options.indexes) await core.download({ start: 0, end: indexes.length }).done()
  const blocks = []
  for (const index of indexes) blocks.push(await core.get(index, { timeout: 60000 }))
  if (options.indexes) {
    blocks.forEach((bytes, i) => {
      if (!bytes.equals(block(indexes[i], number('size', 100)))) fail('another block came')
    })
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9
  say('got', { blocks: blocks.length, hash: hash(blocks), seconds })
  process.exit(0)
}

async function announce () {
  const dht = await node()
  const query = dht.announce(key('topic'), dht.defaultKeyPair, [])
  await query.finished()
  say('announced', { key: hex(dht.defaultKeyPair.publicKey) })
}

async function lookup () {
  const dht = await node()
  const keys = new Set()
  for await (const reply of dht.lookup(key('topic'))) {
    for (const peer of reply.peers) keys.add(hex(peer.publicKey))
  }
  say('found', { keys: [...keys].sort() })
  process.exit(0)
}

const commands = {
  'dht-node': dhtNode,
  'echo-server': () => serve((connection) => connection.on('data', (b) => connection.write(b))),
  'echo-client': echoClient,
  'log-server': logServer,
  'log-client': logClient,
  announce,
  lookup
}
if (commands[command]) commands[command]()
else fail('no such command')
