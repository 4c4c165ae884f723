import Base
import Crypto
import DHT
import Foundation
import Simulation
import Testing
import Wire

/// HyperDHT nodes on a virtual internet, each with a toy in the place of its UDX streams: it says
/// hello until it has heard from the other side.
struct ConnectWorld {
    typealias Host = VirtualNetwork.HostID

    /// How many networks the long tests try; they are left out unless CONNECT_SEEDS says so.
    static let extraSeeds = ProcessInfo.processInfo.environment["CONNECT_SEEDS"].flatMap(
        UInt64.init)

    struct Stream {
        var localID: UInt32
        var established: Established?
        /// The path that packets take now.
        var path: ConnectionPath?
        var remoteID: UInt32 = 0
        var remote = NetworkEndpoint(address: .v4(0), port: 0)
        var socket = SocketID.client
        var hasHeard = false
        var isHeard = false
        var nextHello = Instant.distantFuture
        /// Both sides have heard each other.
        var openedAt: Instant?
    }

    struct Member {
        var dht: HyperDHT
        var serverPort: UInt16
        var streams: [ConnectionTag: Stream] = [:]
        var failures: [(tag: ConnectionTag, dial: DialID?, reason: ConnectFailure)] = []
        var wishes: [(tag: ConnectionTag, wish: RelayWish)] = []
        var questions: [HandshakeQuestion] = []
        var reroutes: [ConnectionPath] = []
        var isReady = false
        var listeningAt: [NetworkEndpoint] = []
        var openSockets: Set<SocketID> = []
        var socketsMax = 0
        var isUp = true
        /// Datagrams sent, and probes of one byte among them.
        var sentCount = 0
        var probeCount = 0
    }

    var network: VirtualNetwork
    var members: [Host: Member] = [:]
    var order: [Host] = []
    var bootstrap: [NetworkEndpoint] = []
    private var random: SeededRandom
    private var effects = HyperDHTEffects()
    /// If set, every datagram comes twice: first with a flipped bit or a cut end.
    var spoils: SeededRandom?
    /// Whether hosts are told at once that every relay they want has paired them.
    var relaysPairAtOnce = false

    init(seed: UInt64, loss: Double = 0) {
        var configuration = VirtualNetwork.Configuration()
        configuration.loss = loss
        network = VirtualNetwork(seed: seed, configuration: configuration)
        random = SeededRandom(seed: seed &+ 1)
    }

    var now: Instant { network.now }

    // MARK: Members

    /// Open persistent nodes, the first two of which are everybody's bootstrap nodes.
    mutating func addBackbone(count: Int) {
        for _ in 0..<count {
            let host = network.addHost()
            let port = network.bind(.server, at: host, port: 49737) ?? 0
            network.bind(.client, at: host)
            let address = NetworkEndpoint(address: network.address(of: host), port: port)
            var configuration = DHTConfiguration(
                bootstrap: bootstrap, mode: .persistent, isFirewalled: false,
                publicAddress: address)
            configuration.serverPort = port
            start(host, HyperDHTConfiguration(node: configuration), port: port)
            if bootstrap.count < 2 { bootstrap.append(address) }
            run(for: .milliseconds(200))
        }
        run(for: .seconds(10))
    }

    /// A peer that knows nothing of its NAT.
    mutating func addPeer(
        in realm: VirtualNetwork.RealmID, keyPair: KeyPair? = nil,
        _ change: (inout HyperDHTConfiguration) -> Void = { _ in }
    ) -> Host {
        let host = network.addHost(in: realm)
        let port = network.bind(.server, at: host, port: 49737) ?? 0
        network.bind(.client, at: host)
        var configuration = DHTConfiguration(bootstrap: bootstrap)
        configuration.serverPort = port
        var whole = HyperDHTConfiguration(node: configuration)
        change(&whole)
        start(host, whole, port: port, keyPair: keyPair)
        return host
    }

    mutating func addPeer(
        behind kind: Simulation.NATKind, _ change: (inout HyperDHTConfiguration) -> Void = { _ in }
    ) -> Host {
        let realm = network.addNATs(kind, timeout: .seconds(60))
        return addPeer(in: realm, change)
    }

    private mutating func start(
        _ host: Host, _ configuration: HyperDHTConfiguration, port: UInt16,
        keyPair: KeyPair? = nil
    ) {
        let local = NetworkEndpoint(address: network.address(of: host), port: port)
        var dht = HyperDHT(
            configuration: configuration, keyPair: keyPair ?? KeyPair(using: &random),
            seed: Bytes32(using: &random), localAddresses: [local], now: now)
        dht.start(now: now, into: &effects)
        if members[host] == nil { order.append(host) }
        members[host] = Member(dht: dht, serverPort: port)
        carryOut(host)
    }

    /// The process ends without a word and starts again with the same key and server port.
    mutating func restart(_ host: Host) {
        guard let member = members[host] else { return }
        for socket in member.openSockets { network.close(socket, at: host) }
        network.bind(.server, at: host, port: member.serverPort)
        network.bind(.client, at: host)
        start(
            host, member.dht.configuration, port: member.serverPort, keyPair: member.dht.keyPair)
    }

    mutating func kill(_ host: Host) {
        network.remove(host)
        members[host]?.isUp = false
    }

    // MARK: Doing

    /// Calls the host's node and carries out what comes of it.
    @discardableResult
    mutating func call<Result>(
        _ host: Host, _ body: (inout HyperDHT, Instant, inout HyperDHTEffects) -> Result?
    ) -> Result? {
        let now = now
        guard var member = members.removeValue(forKey: host) else { return nil }
        let result = body(&member.dht, now, &effects)
        members[host] = member
        carryOut(host)
        return result
    }

    mutating func listen(_ host: Host) {
        call(host) { $0.listen(now: $1, into: &$2) }
    }

    mutating func connect(
        _ host: Host, to server: Host, through relay: Bytes32? = nil,
        hints: [NetworkEndpoint] = []
    ) -> DialID? {
        guard let key = members[server]?.dht.keyPair.publicKey else { return nil }
        return call(host) {
            $0.connect(
                to: key, relayAddresses: hints, relayThrough: relay, now: $1, into: &$2)
        }
    }

    /// Sends raw bytes as the host, around its node.
    mutating func send(_ bytes: [UInt8], from host: Host, to: NetworkEndpoint, via: SocketID) {
        network.send(bytes.span, from: host, via: via, to: to)
    }

    private mutating func carryOut(_ host: Host) {
        for event in effects.events {
            if case .openSocket(let socket) = event {
                network.bind(socket, at: host)
                members[host]?.openSockets.insert(socket)
                let most = max(
                    members[host]?.openSockets.count ?? 0, members[host]?.socketsMax ?? 0)
                members[host]?.socketsMax = most
            }
        }
        members[host]?.sentCount += effects.datagrams.entries.count
        members[host]?.probeCount += effects.datagrams.entries.count { $0.range.count == 1 }
        network.send(effects.datagrams, from: host)
        let events = effects.events
        effects.removeAll()
        for event in events { note(event, host) }
        if relaysPairAtOnce {
            for case .relayWanted(let tag, _) in events { pairAtRelay(tag, of: host) }
        }
        sayHello(host)
        setTimer(host)
    }

    private mutating func note(_ event: HyperDHTEvent, _ host: Host) {
        let now = now
        guard var member = members.removeValue(forKey: host) else { return }
        defer { members[host] = member }
        switch event {
        case .openSocket: break
        case .closeSocket(let socket):
            network.close(socket, at: host)
            member.openSockets.remove(socket)
        case .reserved(let tag, let streamID, _):
            member.streams[tag] = Stream(localID: streamID)
        case .connected(let tag, let established):
            member.streams[tag]?.established = established
            member.streams[tag]?.path = established.path
            member.streams[tag]?.remoteID = established.remoteStreamID
            member.streams[tag]?.remote = established.remote
            member.streams[tag]?.socket = established.socket
            // A relay is not simulated.
            if established.path != .relayed { member.streams[tag]?.nextHello = now }
        case .rerouted(let tag, let remoteID, let remote, let socket, let path):
            member.reroutes.append(path)
            member.streams[tag]?.path = path
            member.streams[tag]?.remoteID = remoteID
            member.streams[tag]?.remote = remote
            member.streams[tag]?.socket = socket
            member.streams[tag]?.nextHello = now
        case .relayWanted(let tag, let wish): member.wishes.append((tag, wish))
        case .failed(let tag, let dial, let reason):
            member.failures.append((tag, dial, reason))
            member.streams[tag] = nil
        case .question(let question): member.questions.append(question)
        case .listening(let relays): member.listeningAt = relays
        case .node(.ready): member.isReady = true
        case .node: break
        }
    }

    /// Where the blind relay would be, if there was one.
    static let relay = NetworkEndpoint(address: .v4(0x0101_0101), port: 1)

    mutating func pairAtRelay(_ tag: ConnectionTag, of host: Host) {
        call(host) {
            $0.relayPaired(
                tag, socket: .client, remote: Self.relay, remoteStreamID: 99, now: $1, into: &$2)
        }
    }

    private mutating func sayHello(_ host: Host) {
        let now = now
        guard let member = members[host] else { return }
        for tag in member.streams.keys.sorted() {
            guard let stream = member.streams[tag], stream.nextHello <= now else { continue }
            var bytes = [UInt8](repeating: 0, count: 20)
            (bytes[0], bytes[1]) = (0xff, 0x01)
            (bytes[8], bytes[9]) = (stream.hasHeard ? 1 : 0, stream.isHeard ? 1 : 0)
            for index in 0..<4 {
                bytes[4 + index] = UInt8(truncatingIfNeeded: stream.remoteID >> (8 * index))
            }
            network.send(bytes.span, from: host, via: stream.socket, to: stream.remote)
            members[host]?.streams[tag]?.nextHello =
                stream.isHeard ? .distantFuture : now + .milliseconds(250)
        }
    }

    private mutating func setTimer(_ host: Host) {
        guard let member = members[host], member.isUp else { return }
        let hello = member.streams.values.map(\.nextHello).min() ?? .distantFuture
        network.setTimer(min(member.dht.deadline, hello), of: host)
    }

    // MARK: Time

    /// Runs until `condition` holds, or the time is up.
    ///
    /// - Returns: whether it came to hold.
    @discardableResult
    mutating func run(
        for duration: Duration, until condition: (ConnectWorld) -> Bool = { _ in false }
    ) -> Bool {
        let end = now + duration
        if condition(self) { return true }
        while let event = network.next(until: end) {
            switch event {
            case .datagram(let delivery): take(delivery)
            case .timer(let host):
                guard members[host]?.isUp == true else { continue }
                let deadline = call(host) { $0.advance(now: $1, into: &$2) }
                // A host would call again at once, and again.
                if let deadline, deadline <= now { Issue.record("\(host) does not get on") }
            case .alarm: continue
            }
            if condition(self) { return true }
        }
        return condition(self)
    }

    private mutating func take(_ delivery: VirtualNetwork.Delivery) {
        let bytes = [UInt8](copying: network.payload)
        let host = delivery.host
        guard !bytes.isEmpty, members[host]?.isUp == true else { return }
        if var spoils, bytes.count > 1 {
            var spoilt = bytes
            let index = Int.random(in: 1..<bytes.count, using: &spoils)
            if Bool.random(using: &spoils) {
                spoilt[index] ^= 1 << UInt8.random(in: 0..<8, using: &spoils)
            } else {
                spoilt.removeLast(bytes.count - index)
            }
            self.spoils = spoils
            call(host) {
                $0.receive(
                    spoilt.span, from: delivery.source, on: delivery.socket, now: $1, into: &$2)
            }
        }
        if bytes.count == 1 {
            call(host) {
                $0.receiveProbe(from: delivery.source, on: delivery.socket, now: $1, into: &$2)
            }
        } else if bytes[0] == 0xff {
            hear(bytes, delivery)
        } else {
            call(host) {
                $0.receive(
                    bytes.span, from: delivery.source, on: delivery.socket, now: $1, into: &$2)
            }
        }
    }

    private mutating func hear(_ bytes: [UInt8], _ delivery: VirtualNetwork.Delivery) {
        guard bytes.count >= 20 else { return }
        let now = now
        var id: UInt32 = 0
        for index in 0..<4 { id |= UInt32(bytes[4 + index]) << (8 * index) }
        let host = delivery.host
        guard let tag = members[host]?.streams.first(where: { $0.value.localID == id })?.key
        else { return }
        if members[host]?.streams[tag]?.path == nil
            || members[host]?.streams[tag]?.path == .relayed
        {
            let mayHave = call(host) {
                $0.streamPacket(
                    streamID: id, from: delivery.source, on: delivery.socket, now: $1, into: &$2)
            }
            guard mayHave == true else { return }
        }
        members[host]?.streams[tag]?.hasHeard = true
        if bytes[8] == 1 { members[host]?.streams[tag]?.isHeard = true }
        if bytes[8] == 1, members[host]?.streams[tag]?.openedAt == nil {
            members[host]?.streams[tag]?.openedAt = now
        }
        // An answer, unless the other side knows that it was heard.
        if bytes[9] == 0 { members[host]?.streams[tag]?.nextHello = now }
        if members[host]?.streams[tag]?.established == nil {
            members[host]?.streams[tag]?.nextHello = .distantFuture
        }
        sayHello(host)
        setTimer(host)
    }

    // MARK: Looking

    /// The streams by which the two hosts have heard each other.
    func connections(_ host: Host, with other: Host) -> [Stream] {
        guard let key = members[other]?.dht.keyPair.publicKey else { return [] }
        return (members[host]?.streams ?? [:]).sorted { $0.key < $1.key }.map(\.value).filter {
            $0.openedAt != nil && $0.established?.remotePublicKey == key
        }
    }

    func areConnected(_ host: Host, _ other: Host) -> Bool {
        !connections(host, with: other).isEmpty && !connections(other, with: host).isEmpty
    }
}
