import Base
import Crypto
import Testing

@testable import Hypercore

/// Devices that share one log over links that keep order and can be cut at any time.
struct SimulatedPeers {
    struct Device {
        var storage = MemoryLogStorage()
        var snapshot: MemoryLogStorage?
        var log: Log
        /// How often each block was stored since the device started.
        var storedCounts: [UInt64: Int] = [:]
    }

    struct End {
        var device: Int
        var replication: LogReplication
        var inbox: [(type: Int, payload: [UInt8])] = []
    }

    /// Two ends; 0 is the initiator.
    struct Link {
        var ends: [End]
    }

    private(set) var devices: [Device] = []
    private(set) var links: [Int: Link] = [:]
    private var nextLink = 0
    private(set) var violations: [String] = []
    private(set) var conflicts = 0
    private(set) var prefixes: [LogPrefix] = []
    /// How much of a writer's log others turned out to have as it is there.
    private(set) var shared: [UInt64] = []
    /// How much a writer's log has at least in common with a longer one that it signed and nobody can show whole.
    private(set) var unfollowed: [UInt64] = []
    /// Lengths that a remote could prove nothing of.
    private(set) var unknownPrefixes: [UInt64] = []
    /// Messages sent, by type.
    private(set) var sent: [MessageType: Int] = [:]
    private(set) var proofNodesSent = 0
    private let handshakeHash = [UInt8](repeating: 9, count: 64)
    private let key: Bytes32
    private let followsForks: Bool
    static let pair = KeyPair(seed: Bytes32(repeating: 1))

    /// - Parameter readers: devices besides the writer, which is device 0.
    init(readers: Int, followsForks: Bool = false) throws {
        self.followsForks = followsForks
        let storage = MemoryLogStorage()
        let log = try Log.create(
            storage: storage, slot: .init(rawValue: 1), keyPair: Self.pair)
        key = log.key
        devices.append(Device(storage: storage, log: log))
        for _ in 0..<readers {
            let storage = MemoryLogStorage()
            devices.append(
                Device(
                    storage: storage,
                    log: try Log(storage: storage, slot: .init(rawValue: 1), key: key)))
        }
    }

    // MARK: Actions

    mutating func append(_ blocks: [[UInt8]], on device: Int = 0) throws {
        try devices[device].log.append(blocks)
        try noteChange(on: device, except: nil)
    }

    /// - Parameter withholds: whether the first device shows no more than the second has.
    @discardableResult
    mutating func connect(_ first: Int, _ second: Int, withholds: Bool = false) throws -> Int {
        let name = nextLink
        nextLink += 1
        links[name] = Link(
            ends: [first, second].enumerated().map { position, device in
                End(
                    device: device,
                    replication: LogReplication(
                        log: devices[device].log, handshakeHash: handshakeHash,
                        isInitiator: position == 0, followsForks: followsForks,
                        isWithheld: withholds && position == 0))
            })
        for position in 0..<2 {
            guard let handshake = links[name]?.ends[1 - position].replication.openHandshake else {
                continue
            }
            var effects: [LogReplication.Effect] = []
            try links[name]?.ends[position].replication.opened(
                remoteHandshake: handshake, into: &effects)
            try carryOut(effects, link: name, position: position)
        }
        return name
    }

    /// The first end shows all that it has.
    mutating func showAll(on name: Int) throws {
        var effects: [LogReplication.Effect] = []
        links[name]?.ends[0].replication.showAll()
        try links[name]?.ends[0].replication.localChanged(into: &effects)
        try carryOut(effects, link: name, position: 0)
    }

    /// The second end asks what the first one's log was after so many blocks.
    mutating func askPrefix(_ length: UInt64, on name: Int) throws {
        var effects: [LogReplication.Effect] = []
        links[name]?.ends[1].replication.askPrefix(length, into: &effects)
        try carryOut(effects, link: name, position: 1)
    }

    mutating func cut(_ name: Int) throws {
        guard var link = links.removeValue(forKey: name) else { return }
        for position in 0..<2 {
            link.ends[position].replication.closed()
            try noteChange(on: link.ends[position].device, except: nil)
        }
    }

    /// The device comes back with what it had stored, on no connection.
    mutating func restart(_ device: Int, keyPair: KeyPair? = nil) throws {
        for name in links.keys.sorted()
        where links[name]?.ends.contains(where: { $0.device == device }) == true {
            try cut(name)
        }
        #expect(devices[device].log.requested.isEmpty)
        #expect(devices[device].log.upgradeOwner == nil)
        devices[device].log = try Log(
            storage: devices[device].storage, slot: .init(rawValue: 1), key: key,
            manifest: keyPair.map { Manifest(publicKey: $0.publicKey, namespace: nil) },
            keyPair: keyPair)
        devices[device].storedCounts = [:]
    }

    /// Delivers the oldest message of one direction of a link.
    mutating func deliver(link name: Int, to position: Int) throws {
        guard let link = links[name], !link.ends[position].inbox.isEmpty,
            let message = links[name]?.ends[position].inbox.removeFirst()
        else { return }
        try inject(message.type, message.payload, link: name, to: position)
    }

    /// Hands a message to one end, whoever made it up.
    mutating func inject(
        _ type: Int, _ payload: [UInt8], link name: Int, to position: Int
    ) throws {
        var effects: [LogReplication.Effect] = []
        do {
            try links[name]?.ends[position].replication.receive(
                type: type, payload: payload.span, into: &effects)
        } catch {
            try carryOut(effects, link: name, position: position)
            throw error
        }
        try carryOut(effects, link: name, position: position)
    }

    /// Drops the oldest message of one direction of a link.
    mutating func lose(link name: Int, to position: Int) {
        links[name]?.ends[position].inbox.removeFirst()
    }

    mutating func tick(_ now: Instant) throws {
        for name in links.keys.sorted() {
            for position in 0..<2 {
                var effects: [LogReplication.Effect] = []
                try links[name]?.ends[position].replication.tick(now: now, into: &effects)
                try carryOut(effects, link: name, position: position)
            }
        }
    }

    mutating func localChanged(on device: Int) throws {
        try noteChange(on: device, except: nil)
    }

    /// Everything under way arrives, one flight after the other.
    ///
    /// - Returns: how many times messages crossed.
    @discardableResult
    mutating func settle(flightsMax: Int = 10_000) throws -> Int {
        for flight in 0..<flightsMax {
            let counts = links.keys.sorted().flatMap { name in
                (0..<2).map { (name, $0, links[name]?.ends[$0].inbox.count ?? 0) }
            }
            guard counts.contains(where: { $0.2 > 0 }) else { return flight }
            for (name, position, count) in counts {
                for _ in 0..<count { try deliver(link: name, to: position) }
            }
        }
        Issue.record("messages go back and forth for ever")
        return flightsMax
    }

    // MARK: Details

    private mutating func carryOut(
        _ effects: [LogReplication.Effect], link name: Int, position: Int
    ) throws {
        guard let device = links[name]?.ends[position].device else { return }
        var hasChanged = false
        for effect in effects {
            switch effect {
            case .send(let type, let payload):
                count(type, payload)
                links[name]?.ends[1 - position].inbox.append((type, payload))
            case .stored(let range):
                for block in range { devices[device].storedCounts[block, default: 0] += 1 }
                hasChanged = true
            case .truncated(let length):
                devices[device].storedCounts = devices[device].storedCounts.filter {
                    $0.key < length
                }
                hasChanged = true
            case .upgraded, .released: hasChanged = true
            case .remoteLength, .remoteAcknowledged: break
            case .shared(let length): shared.append(length)
            case .conflict: conflicts += 1
            case .unfollowed(let common, _): unfollowed.append(common)
            case .prefix(let prefix): prefixes.append(prefix)
            case .noPrefix(let length): unknownPrefixes.append(length)
            case .violation(let reason):
                violations.append(reason)
                try cut(name)
                return
            }
        }
        if hasChanged { try noteChange(on: device, except: name) }
    }

    private mutating func noteChange(on device: Int, except: Int?) throws {
        for name in links.keys.sorted() where name != except {
            for position in 0..<2 where links[name]?.ends[position].device == device {
                var effects: [LogReplication.Effect] = []
                try links[name]?.ends[position].replication.localChanged(into: &effects)
                try carryOut(effects, link: name, position: position)
            }
        }
    }

    private mutating func count(_ type: Int, _ payload: [UInt8]) {
        guard let type = MessageType(rawValue: type) else { return }
        sent[type, default: 0] += 1
        if type == .data, let data = try? DataMessage(decoding: payload.span) {
            proofNodesSent += data.proof.block?.nodes.count ?? 0
            proofNodesSent += data.proof.upgrade?.nodes.count ?? 0
        }
    }

    mutating func forgetCounts() {
        sent = [:]
        proofNodesSent = 0
    }

    /// Keeps what a device has stored for `restoreStorage`.
    mutating func rememberStorage(of device: Int) {
        devices[device].snapshot = devices[device].storage.copy()
    }

    /// The device comes back with what it had stored when it was last remembered.
    mutating func restoreStorage(of device: Int) throws {
        guard let snapshot = devices[device].snapshot else { return }
        devices[device].storage = snapshot
        try restart(device, keyPair: device == 0 ? Self.pair : nil)
    }

    mutating func withStorage(of device: Int, _ body: (MemoryLogStorage) -> Void) {
        body(devices[device].storage)
    }
}
