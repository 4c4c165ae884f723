// One peer of an interoperability run (Scripts/interop): a node of ours on the loopback that
// echoes, replicates a log, announces or looks up, and tells what happens line by line.
import Base
import Crypto
import DHT
import Glibc
import Host
import Hypercore
import Wire

func run() throws {
    let options = try PeerOptions(Array(CommandLine.arguments.dropFirst()))
    var random = SecureRandom()
    let keyPair = KeyPair(using: &random)
    let conversation: (any Conversation)?
    switch options.command {
    case "echo-server": conversation = EchoServer()
    case "echo-client":
        conversation = EchoClient(bytes: options.number("bytes", else: 1 << 20), started: .now)
    case "log-server":
        let log = try Log.create(
            storage: MemoryLogStorage(), slot: WriterSlot(rawValue: 0),
            keyPair: KeyPair(using: &random))
        let blocks = (0..<options.number("blocks", else: 100)).map {
            Contents.block($0, size: options.number("size", else: 100))
        }
        _ = try log.append(blocks)
        var hasher = Blake2bHasher()
        for block in blocks { hasher.update(block) }
        EventLines.write(
            "log", ("key", .text(log.key.hex)), ("hash", .text(hasher.finalize().hex)))
        conversation = LogExchange(log, wanted: nil)
    case "log-client":
        let log = try Log(
            storage: MemoryLogStorage(), slot: WriterSlot(rawValue: 0),
            key: options.key("key"))
        conversation = LogExchange(
            log, wanted: UInt64(options.number("blocks", else: 100)),
            indexes: options.numbers("indexes"))
    default: conversation = nil
    }
    var settings = SwarmNodeOptions(keyPair: keyPair, bootstrap: try options.bootstrap)
    settings.address = .v4(0x7f00_0001)
    settings.serverPorts = [0]
    settings.mode = .ephemeral
    let loop = try EventLoop()
    try loop.start()
    let node = SwarmNode(loop: loop, options: settings)
    let peer = Peer(options, keyPair, conversation)
    node.observer = peer
    try node.open()
    // The loop's thread ends the process.
    while true { pause() }
}

do {
    try run()
} catch let mistake as PeerOptions.Mistake {
    EventLines.write("failed", ("reason", .text(mistake.text)))
    exit(2)
} catch {
    EventLines.write("failed", ("reason", .text("\(error)")))
    exit(1)
}
