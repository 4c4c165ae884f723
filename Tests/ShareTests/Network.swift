import Base
import Chunks
import Crypto
import Noise

@testable import Share

/// Devices of one share in one process, with virtual time and pipes for connections; the same seed,
/// the same run.
final class Network {
    final class Device: ShareEnvironment, @unchecked Sendable {
        let name: String
        fileprivate var installationName: String
        fileprivate unowned let network: Network
        fileprivate(set) var volume: ShareVolume!
        fileprivate var key = Bytes32.zero
        var publicKey: Bytes32 { KeyPair(seed: key).publicKey }
        fileprivate(set) var chunks = FickleChunkStorage()
        fileprivate(set) var storage = MemoryShareStorage()
        fileprivate var random: SeededRandom
        /// How far this device's wall clock is off.
        var clockSkew: Int64 = 0

        fileprivate init(name: String, network: Network, seed: UInt64) {
            self.name = name
            installationName = name
            self.network = network
            random = SeededRandom(seed: seed)
        }

        /// What is stored now: its chunks stay shared, since they are named by what they hold.
        func backup() -> MemoryShareStorage {
            try? volume.sync()
            return storage.copy()
        }

        func now() -> Instant { network.time }
        func wallTime() -> Timestamp {
            let nanoseconds = network.time.nanoseconds
            return Timestamp(
                seconds: 1_700_000_000 + Int64(nanoseconds / 1_000_000_000) + clockSkew,
                nanoseconds: UInt32(nanoseconds % 1_000_000_000))
        }
        func randomBytes(_ count: Int) -> [UInt8] { random.bytes(count) }
        /// How often an earlier turn was asked for.
        var wakes = 0
        func wake() { wakes += 1 }
    }

    private struct Pipe {
        var ends: (Device, ConnectionID, Device, ConnectionID)
        /// Bytes on their way, to the second end and to the first.
        var forward: [[UInt8]] = []
        var backward: [[UInt8]] = []
        var isOpen = true
    }

    private(set) var time = Instant(nanoseconds: 1_000_000_000)
    private(set) var devices: [Device] = []
    private(set) var log: [String] = []
    private var pipes: [Pipe] = []
    private var random: SeededRandom
    private var nextConnection: UInt64 = 1
    let shareKey: Bytes32
    let inviteSeed = Bytes32(repeating: 0x1e)
    /// How many bytes a connection brings each way in one step; nil: all there are.
    var bytesPerStep: Int?
    /// Of devices opened from now on.
    var checkpointPolicy = CheckpointPolicy.standard

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
        shareKey = Bytes32(random.bytes(32))!
    }

    /// Alice, bob and carol, connected through alice, in a share that gives history back within minutes.
    static func forgetfulTrio(seed: UInt64) throws -> (Network, [Device]) {
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 16 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .seconds(60),
            objectsPerTurn: 100, history: .seconds(600))
        var devices: [Device] = []
        for name in ["alice", "bob", "carol"] {
            let device = try network.addDevice(name)
            if let first = devices.first { network.connect(device, first) }
            devices.append(device)
        }
        network.run()
        return (network, devices)
    }

    func addDevice(_ name: String) throws -> Device {
        let device = Device(name: name, network: self, seed: random.next())
        device.key = Bytes32(random.bytes(32))!
        let origin: ShareOrigin =
            if let first = devices.first,
                let link = try first.volume.inviteLink(
                    name: "test", addressHints: [])
            {
                .join(foundingLog: link.foundingLog, inviteSeed: link.inviteSeed)
            } else {
                .found(name: "test", inviteSeed: inviteSeed)
            }
        device.volume = try open(device, origin)
        devices.append(device)
        return device
    }

    /// Opens the device's share anew, as a process does that was stopped and starts again.
    func restart(_ device: Device) throws {
        try device.volume.sync()
        device.volume = try open(device, .stored)
    }

    /// Goes on with an older state of the device, as after a restored backup.
    func restore(_ device: Device, _ backup: MemoryShareStorage) throws {
        device.storage = backup.copy()
        device.volume = try open(device, .stored)
    }

    /// Another device with everything that this one has, its keys included.
    func clone(_ device: Device) throws -> Device {
        let clone = Device(name: "\(device.name)'s clone", network: self, seed: random.next())
        clone.key = device.key
        clone.installationName = device.name
        clone.chunks = device.chunks
        clone.storage = device.backup()
        clone.volume = try open(clone, .stored)
        devices.append(clone)
        return clone
    }

    private func open(_ device: Device, _ origin: ShareOrigin) throws -> ShareVolume {
        try ShareVolume(
            ShareIdentity(
                keys: ShareKeys(shareKey: shareKey), device: KeyPair(seed: device.key),
                deviceName: device.installationName),
            origin: origin, storage: device.storage, chunks: device.chunks, environment: device,
            diskSpace: { (1 << 40, 1 << 39) }, checkpoints: checkpointPolicy)
    }

    func connect(_ first: Device, _ second: Device) {
        let a = ConnectionID(rawValue: nextConnection)
        let b = ConnectionID(rawValue: nextConnection + 1)
        nextConnection += 2
        pipes.append(Pipe(ends: (first, a, second, b)))
        // Every other connection comes with a handshake, as those through the DHT do.
        let handshakes = nextConnection % 4 == 1 ? nil : nodeHandshake(first, second)
        first.volume.connectionOpened(
            a, isInitiator: true, address: second.name, handshake: handshakes?.0)
        second.volume.connectionOpened(
            b, isInitiator: false, address: first.name, handshake: handshakes?.1)
    }

    private func nodeHandshake(
        _ first: Device, _ second: Device
    ) -> (HandshakeResult, HandshakeResult)? {
        let keys = ShareKeys(shareKey: shareKey)
        let (left, right) = (
            keys.nodeKey(of: KeyPair(seed: first.key)), keys.nodeKey(of: KeyPair(seed: second.key))
        )
        var initiator = Handshake(
            pattern: .ik, role: .initiator, staticKey: left, ephemeralKey: KeyPair(using: &random),
            remoteStaticKey: right.publicKey)
        var responder = Handshake(
            pattern: .ik, role: .responder, staticKey: right, ephemeralKey: KeyPair(using: &random))
        let nothing: [UInt8] = []
        guard let hello = try? initiator.write(payload: nothing.span),
            (try? responder.read(hello.span)) != nil,
            let answer = try? responder.write(payload: nothing.span),
            (try? initiator.read(answer.span)) != nil, let mine = initiator.result,
            let theirs = responder.result
        else { return nil }
        return (mine, theirs)
    }

    func disconnectAll() {
        for index in pipes.indices { close(index, reason: "cut") }
        pipes = []
    }

    /// Lets time pass until nothing happens any more, or `seconds` are over.
    func run(seconds: Double = 20) {
        let end = time + .milliseconds(Int64(seconds * 1000))
        while time < end { step(until: end) }
    }

    /// Lets time pass in which nobody does anything.
    func pass(_ duration: Duration) { time = time + duration }

    /// Delivers what is on its way; or lets time pass, if nothing is.
    func step(until end: Instant = .distantFuture) {
        var next = end
        for device in devices {
            var effects: [ShareEffect] = []
            next = min(next, device.volume.advance(into: &effects))
            for effect in effects { perform(effect, of: device) }
        }
        guard !deliver() else { return }
        time = max(min(next, end), time + .microseconds(100))
    }

    private func perform(_ effect: ShareEffect, of device: Device) {
        switch effect {
        case .send(let id, let bytes):
            for index in pipes.indices where pipes[index].isOpen {
                if pipes[index].ends.0 === device, pipes[index].ends.1 == id {
                    pipes[index].forward.append(bytes)
                } else if pipes[index].ends.2 === device, pipes[index].ends.3 == id {
                    pipes[index].backward.append(bytes)
                }
            }
        case .identified, .found: break
        case .close(let id, let reason), .reject(let id, let reason):
            log.append("\(device.name): \(reason)")
            for index in pipes.indices
            where pipes[index].ends.1 == id || pipes[index].ends.3 == id {
                close(index, reason: reason)
            }
        case .log(let text): log.append("\(device.name): \(text)")
        }
    }

    private func close(_ index: Int, reason: String) {
        guard pipes[index].isOpen else { return }
        pipes[index].isOpen = false
        let (first, a, second, b) = pipes[index].ends
        first.volume.connectionClosed(a, reason: reason)
        second.volume.connectionClosed(b, reason: reason)
    }

    /// Hands over what is on its way, cut anywhere.
    private func deliver() -> Bool {
        var delivered = false
        for index in pipes.indices where pipes[index].isOpen {
            let (first, a, second, b) = pipes[index].ends
            let forward = take(&pipes[index].forward)
            let backward = take(&pipes[index].backward)
            let queued = (count(pipes[index].forward), count(pipes[index].backward))
            for bytes in forward { hand(bytes, to: second, b) }
            for bytes in backward { hand(bytes, to: first, a) }
            if !forward.isEmpty { first.volume.connectionDrained(a, queuedBytes: queued.0) }
            if !backward.isEmpty { second.volume.connectionDrained(b, queuedBytes: queued.1) }
            delivered = delivered || !forward.isEmpty || !backward.isEmpty
        }
        return delivered
    }

    /// What arrives in one step.
    private func take(_ queue: inout [[UInt8]]) -> [[UInt8]] {
        var left = bytesPerStep ?? .max
        var taken: [[UInt8]] = []
        while left > 0, let first = queue.first {
            taken.append(Array(first.prefix(left)))
            queue[0].removeFirst(min(left, first.count))
            if queue[0].isEmpty { queue.removeFirst() }
            left -= min(left, first.count)
        }
        return taken
    }

    private func count(_ queue: [[UInt8]]) -> Int { queue.reduce(0) { $0 + $1.count } }

    private func hand(_ bytes: [UInt8], to device: Device, _ id: ConnectionID) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 1...65536, using: &random))
            let part = Array(rest.prefix(count))
            device.volume.connectionReceived(id, part.span)
            rest = rest.dropFirst(count)
        }
    }
}

extension Network.Device {
    func directory(_ path: String) throws -> NodeID {
        var node = NodeID.root
        for name in path.split(separator: "/") {
            node = try volume.lookup(Array(name.utf8), in: node).node
        }
        return node
    }

    private func place(_ path: String) throws -> (NodeID, [UInt8]) {
        let parts = path.split(separator: "/")
        return (
            try directory(parts.dropLast().joined(separator: "/")), Array(parts.last!.utf8)
        )
    }

    func mkdir(_ path: String) throws {
        let (parent, name) = try place(path)
        _ = try volume.make(
            name, in: parent, MakeRequest(kind: .directory, mode: 0o755, uid: 0, gid: 0))
    }

    /// Creates the file or saves a new version of what is shown.
    func write(_ path: String, _ text: String) throws {
        try write(path, Array(text.utf8))
    }

    func write(_ path: String, _ bytes: [UInt8]) throws {
        let (parent, name) = try place(path)
        let known = try? volume.lookup(name, in: parent).node
        let node =
            try known
            ?? volume.make(
                name, in: parent, MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
            ).node
        try save(node, bytes)
    }

    func save(_ node: NodeID, _ bytes: [UInt8]) throws {
        let shown = try volume.openContent(of: node)
        let content: Content
        if bytes.count <= ChunkLimits.inlineSizeMax {
            content = .inline(bytes)
        } else {
            var builder = ContentBuilder(keys: volume.keys.contentKeys, storage: chunks)
            content = try builder.build(from: ArraySource(bytes))
        }
        _ = try volume.publish(
            Save(
                node: node, parents: shown.versions, content: content, modified: wallTime(),
                settlesStaging: false))
    }

    func read(_ path: String) throws -> [UInt8]? {
        let content = try volume.openContent(of: try directory(path)).content
        let reader = ContentReader(content, storage: chunks)
        var bytes = [UInt8](repeating: 0, count: Int(content.size))
        let outcome = try bytes.withUnsafeMutableBytes { try reader.read(at: 0, into: $0) }
        return outcome == .bytes(bytes.count) ? bytes : nil
    }

    func text(_ path: String) throws -> String? {
        try read(path).map { String(decoding: $0, as: UTF8.self) }
    }

    func names(_ path: String = "") throws -> [String] {
        try volume.list(try directory(path)).map { String(decoding: $0.name, as: UTF8.self) }
    }

    func rename(_ path: String, _ other: String) throws {
        let (parent, name) = try place(path)
        let (newParent, newName) = try place(other)
        _ = try volume.rename(name, in: parent, to: newName, in: newParent, .replace)
    }

    func exchange(_ path: String, _ other: String) throws {
        let (parent, name) = try place(path)
        let (newParent, newName) = try place(other)
        _ = try volume.rename(name, in: parent, to: newName, in: newParent, .exchange)
    }

    func unlink(_ path: String) throws {
        let (parent, name) = try place(path)
        try volume.unlink(name, in: parent)
    }

    func rmdir(_ path: String) throws {
        let (parent, name) = try place(path)
        try volume.removeDirectory(name, in: parent)
    }
}

struct ArraySource: ContentSource {
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var size: UInt64 { UInt64(bytes.count) }
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        let count = min(buffer.count, bytes.count - Int(offset))
        bytes.withUnsafeBytes { all in
            buffer.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: all[Int(offset)..<Int(offset) + count]))
        }
        return count
    }
}
