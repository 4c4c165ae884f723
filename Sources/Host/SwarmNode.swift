package import Base
package import Crypto
package import DHT
package import Swarm
import UDX
package import Wire

/// What a node is told when it is made.
package struct SwarmNodeOptions: Sendable {
    /// Where both sockets are bound; all IPv4 addresses of this machine by default.
    package var address = NetworkAddress.v4(0)
    /// Tried in order for the server socket, and then any free port.
    package var serverPorts: [UInt16] = [49737, 49738, 49739, 49740, 49741]
    /// Whether the first of `serverPorts` is the only one that will do.
    package var isPortFixed = false
    /// Under which this node dials, and listens if told to.
    package var keyPair: KeyPair
    package var bootstrap: [NetworkEndpoint]
    package var knownNodes: [NetworkEndpoint] = []
    package var mode = DHTConfiguration.Mode.adaptive
    package var isFirewalled = true
    /// Port 0 stands for that of the server socket.
    package var publicAddress: NetworkEndpoint?
    /// Whether peers are told this machine's addresses on the local network.
    package var usesLocalAddresses = true
    /// What this node does as a blind relay; nil if it is none. A relay takes no other connections.
    package var relay: BlindRelayLimits?

    package init(keyPair: KeyPair, bootstrap: [NetworkEndpoint]) {
        self.keyPair = keyPair
        self.bootstrap = bootstrap
    }
}

/// What a node tells its owner. Calls come on the loop's thread.
package protocol SwarmNodeObserver: AnyObject {
    /// A stream is there, by a dial of ours or because a peer dialed us (nil): to be started or
    /// aborted.
    func node(_ node: SwarmNode, connected stream: SwarmStream, dial: DialID?)
    func node(_ node: SwarmNode, dialFailed dial: DialID, _ reason: ConnectFailure)
    /// The node has announced itself at these; none if no node took it.
    func node(_ node: SwarmNode, isListeningAt relays: [NetworkEndpoint])
    func node(_ node: SwarmNode, reports event: DHTEvent)
    /// Addresses of this machine came or went.
    func nodeChangedNetwork(_ node: SwarmNode)
}

/// A node of the DHT on an event loop: its core, its sockets, its streams.
///
/// Datagrams of one turn are taken in together and answered together: every stream is flushed once,
/// and everything leaves in one batch. Confined to the loop's thread, but for `init`, `open` and
/// `close`.
package final class SwarmNode: LoopMember, @unchecked Sendable {
    package weak var observer: (any SwarmNodeObserver)?
    package let endpoint: UDPEndpoint
    private let loop: EventLoop
    private let options: SwarmNodeOptions
    private var core: HyperDHT
    private var effects = HyperDHTEffects()
    /// Those that are being carried out, while doing so adds to `effects`.
    private var effectsInHand = HyperDHTEffects()
    /// Of what was asked of the node within the core.
    private var nodeEffects = DHTEffects()
    private var streams: [UInt32: SwarmStream] = [:]
    /// The one that the last packet was for: the next one mostly is too.
    private var recent: SwarmStream?
    private var tags: [ConnectionTag: SwarmStream] = [:]
    private var deadlines = DeadlineHeap()
    /// Streams with something to deliver or to send, in the order they got it.
    private var touched: [SwarmStream] = []
    private var batch = DatagramBatch()
    private var buffers: [[UInt8]] = []
    private var watch: NetworkWatch?
    private lazy var relayClients = RelayClients(node: self, ownKey: options.keyPair.publicKey)
    private var relayServers: RelayServers?
    private var isOpen = false
    private var isPerforming = false

    private enum Limits {
        /// Buffers kept for the next turn, and how large they may be.
        static let buffersMax = 16
        static let bufferBytesMax = 1 << 20
        /// Sent before more is appended, so that the batch stays in the cache.
        static let batchBytesMax = 256 << 10
    }

    package init(loop: EventLoop, options: SwarmNodeOptions) {
        self.loop = loop
        self.options = options
        endpoint = UDPEndpoint(loop: loop)
        core = Self.makeCore(options, serverPort: 0, clientPort: 0)
        endpoint.receiver = self
    }

    private static func makeCore(
        _ options: SwarmNodeOptions, serverPort: UInt16, clientPort: UInt16
    ) -> HyperDHT {
        var random = SecureRandom()
        let now = monotonicNow()
        let wall = wallNow()
        let milliseconds =
            UInt64(clamping: wall.seconds) &* 1000
            &+ UInt64(wall.nanoseconds / 1_000_000)
        let node = DHTConfiguration(
            bootstrap: options.bootstrap, mode: options.mode, isFirewalled: options.isFirewalled,
            publicAddress: options.publicAddress.map {
                NetworkEndpoint(address: $0.address, port: $0.port == 0 ? serverPort : $0.port)
            }, serverPort: serverPort, clientPort: clientPort,
            knownNodes: options.knownNodes,
            unixMillisecondsAtZero: milliseconds &- now.nanoseconds / 1_000_000)
        var configuration = HyperDHTConfiguration(node: node)
        configuration.usesLocalAddresses = options.usesLocalAddresses
        return HyperDHT(
            configuration: configuration, keyPair: options.keyPair, seed: Bytes32(using: &random),
            localAddresses: localAddresses(port: serverPort, options), now: now)
    }

    private static func localAddresses(
        port: UInt16, _ options: SwarmNodeOptions
    ) -> [NetworkEndpoint] {
        guard options.address == .v4(0) else {
            return [NetworkEndpoint(address: options.address, port: port)]
        }
        return SocketAddress.ofIPv4Interfaces(port: port)
    }

    /// Binds the sockets and begins to look for other nodes.
    package func open() throws(HostError) {
        let failure: HostError?? = loop.perform { [self] in
            do throws(HostError) {
                try begin()
                return nil
            } catch {
                endpoint.closeAll()
                return error
            }
        }
        if case .some(.some(let error)) = failure { throw error }
    }

    private func begin() throws(HostError) {
        let serverPort = try bindServer()
        let clientPort = try endpoint.bind(
            .client, to: NetworkEndpoint(address: options.address, port: 0))
        core = Self.makeCore(options, serverPort: serverPort, clientPort: clientPort)
        watch = try? NetworkWatch(loop: loop) { [weak self] in self?.networkChanged() }
        relayServers = options.relay.map { RelayServers(node: self, limits: $0) }
        isOpen = true
        loop.add(self)
        core.start(now: monotonicNow(), into: &effects)
        perform()
    }

    private func bindServer() throws(HostError) -> UInt16 {
        var failure: HostError?
        for port in options.serverPorts + (options.isPortFixed ? [] : [0]) {
            do throws(HostError) {
                return try endpoint.bind(
                    .server, to: NetworkEndpoint(address: options.address, port: port))
            } catch {
                failure = error
                if options.isPortFixed { throw error }
            }
        }
        throw failure ?? .timedOut("finding a port")
    }

    /// Ends all streams, takes back what was announced as far as one try does it, and closes the
    /// sockets. From any thread; waits for that.
    package func close() {
        _ = loop.perform { [self] in
            guard isOpen else { return }
            relayClients.close()
            relayServers?.close()
            for stream in streams.values.sorted(by: { $0.localID < $1.localID }) {
                stream.fail("this device stops")
            }
            core.suspend(now: monotonicNow(), into: &effects)
            perform()
            isOpen = false
            watch?.close()
            watch = nil
            loop.remove(self)
            endpoint.closeAll()
        }
    }

    /// The port of the server socket; nil before `open`.
    package var serverPort: UInt16? { endpoint.port(of: .server) }
    /// Bytes of streams that are being closed wait to be acknowledged.
    package var isFlushing: Bool { streams.values.contains { $0.isFlushing } }
    package var streamCount: Int { streams.count }
    /// What this node has passed on as a relay, in bytes, and for how many pairs it does at present.
    package var relayedBytes: UInt64 { relayServers?.service.forwardedBytes ?? 0 }
    package var relayedPairs: Int { relayServers?.service.pairingCount ?? 0 }

    /// What the node knows.
    package var dht: DHTNode { _read { yield core.node } }
    package var relayAddresses: [NetworkEndpoint] { core.relayAddresses }

    /// Asks the node for something.
    package func call<Result>(
        _ body: (inout HyperDHT, Instant, inout HyperDHTEffects) -> Result
    ) -> Result {
        let result = body(&core, monotonicNow(), &effects)
        // What comes of it leaves, and is told, when the loop comes round.
        loop.callAgain()
        return result
    }

    /// Asks the DHT for something; what comes of it is reported as `DHTEvent`s.
    package func ask<Result>(
        _ body: (inout DHTNode, Instant, inout DHTEffects) -> Result
    ) -> Result {
        let result = body(&core.node, monotonicNow(), &nodeEffects)
        loop.callAgain()
        return result
    }

    package func run(now: Instant) -> Instant {
        guard isOpen else { return .distantFuture }
        if now >= core.deadline { core.advance(now: now, into: &effects) }
        perform()
        while let row = deadlines.popDue(now: now) {
            guard let stream = streams[row.number], stream.scheduledAt == row.at else { continue }
            stream.scheduledAt = .distantFuture
            if now >= stream.deadline { stream.advance(now: now) } else { schedule(stream) }
        }
        let relayDue = min(
            relayClients.run(now: now), relayServers?.run(now: now) ?? .distantFuture)
        flushTouched(now: now)
        perform()
        return min(core.deadline, deadlines.earliest, relayDue)
    }

    private func networkChanged() {
        guard isOpen, let port = serverPort else { return }
        let addresses = Self.localAddresses(port: port, options)
        call { core, now, effects in
            core.networkChanged(localAddresses: addresses, now: now, into: &effects)
        }
        observer?.nodeChangedNetwork(self)
    }
}

// Datagrams.
extension SwarmNode: DatagramReceiver {
    package func received(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant
    ) {
        if UDXHeader.isUDX(datagram) {
            receivedPacket(datagram, from: source, on: socket, now: now)
        } else if datagram.count == 1 {
            core.receiveProbe(from: source, on: socket, now: now, into: &effects)
        } else if datagram[0] == 0x03 || datagram[0] == 0x13 {
            core.receive(datagram, from: source, on: socket, now: now, into: &effects)
        }
    }

    private func receivedPacket(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant
    ) {
        guard let header = UDXHeader.parse(datagram) else { return }
        guard let stream = stream(header.streamID) else {
            relayServers?.forward(
                datagram, streamID: header.streamID, from: source, on: socket, now: now,
                into: &batch)
            return
        }
        if stream.isElsewhere(source, socket) {
            let isWelcome = core.streamPacket(
                streamID: header.streamID, from: source, on: socket, now: now, into: &effects)
            guard isWelcome else { return }
            // The packet may be what connects the stream.
            perform()
        }
        stream.receive(datagram, now: now)
        touch(stream)
    }

    private func stream(_ id: UInt32) -> SwarmStream? {
        if let recent, recent.localID == id { return recent }
        guard let stream = streams[id] else { return nil }
        recent = stream
        return stream
    }

    package func receivedAll(now: Instant) {
        perform()
        // Of much, the other side is told before it is read, so that both ends work at a time.
        for stream in touched where stream.hasMuchReceived { stream.fill(&batch, now: now) }
        sendBatch()
        var index = 0
        // Delivering may touch more streams.
        while index < touched.count {
            touched[index].deliver()
            index += 1
        }
    }
}

// Effects of the core, in the order it asks for.
extension SwarmNode {
    private func perform() {
        guard !isPerforming else { return }
        isPerforming = true
        defer { isPerforming = false }
        while hasEffects {
            endpoint.send(nodeEffects.datagrams)
            let nodeEvents = nodeEffects.events
            nodeEffects.removeAll()
            for event in nodeEvents { observer?.node(self, reports: event) }
            swap(&effects, &effectsInHand)
            for case .openSocket(let socket) in effectsInHand.events { openSocket(socket) }
            endpoint.send(effectsInHand.datagrams)
            for event in effectsInHand.events { perform(event) }
            effectsInHand.removeAll()
        }
    }

    private var hasEffects: Bool {
        !effects.events.isEmpty || !effects.datagrams.isEmpty || !nodeEffects.events.isEmpty
            || !nodeEffects.datagrams.isEmpty
    }

    private func openSocket(_ socket: SocketID) {
        let any = NetworkEndpoint(address: options.address, port: 0)
        if (try? endpoint.bind(socket, to: any, isBrief: true)) == nil {
            core.socketFailed(socket, now: monotonicNow(), into: &effects)
        }
    }

    private func perform(_ event: HyperDHTEvent) {
        switch event {
        case .openSocket: break
        case .closeSocket(let socket): endpoint.close(socket)
        case .reserved(let tag, let id, _):
            let stream = SwarmStream(tag: tag, streamID: id, node: self)
            streams[id] = stream
            tags[tag] = stream
        case .connected(let tag, let established):
            guard let stream = tags[tag] else { return }
            stream.connect(established, now: monotonicNow())
            if let dial = established.dial, relayClients.connected(stream, dial: dial) { return }
            if established.dial == nil, let relayServers { return relayServers.accept(stream) }
            if let observer {
                observer.node(self, connected: stream, dial: established.dial)
            } else {
                stream.abort()
            }
        case .rerouted(let tag, let id, let remote, let socket, let path):
            tags[tag]?.reroute(
                remoteStreamID: id, remote: remote, socket: socket, path: path,
                now: monotonicNow())
            relayClients.leave(tag)
        case .relayWanted(let tag, let wish): relayClients.want(tag, wish)
        case .failed(let tag, let dial, let reason):
            if let stream = tags.removeValue(forKey: tag) {
                streams[stream.localID] = nil
                recent = nil
            }
            relayClients.release(tag)
            if let dial, !relayClients.failed(dial) {
                observer?.node(self, dialFailed: dial, reason)
            }
        case .question(let question):
            core.admit(question.tag, true, now: monotonicNow(), into: &effects)
        case .listening(let relays): observer?.node(self, isListeningAt: relays)
        case .node(let event): observer?.node(self, reports: event)
        }
    }
}

// Streams.
extension SwarmNode {
    /// Has the stream flushed when this turn ends.
    func touch(_ stream: SwarmStream) {
        guard !stream.isTouched else { return }
        stream.isTouched = true
        touched.append(stream)
        loop.callAgain()
    }

    /// Sends at once what the stream may send.
    func flush(_ stream: SwarmStream) {
        flush(stream, now: monotonicNow())
        sendBatch()
        loop.callAgain(by: deadlines.earliest)
    }

    private func flushTouched(now: Instant) {
        var index = 0
        // Flushing may report, and the one reported to may touch more streams.
        while index < touched.count {
            let stream = touched[index]
            stream.isTouched = false
            flush(stream, now: now)
            if batch.bytes.count >= Limits.batchBytesMax { sendBatch() }
            index += 1
        }
        touched.removeAll(keepingCapacity: true)
        sendBatch()
    }

    private func flush(_ stream: SwarmStream, now: Instant) {
        stream.deliver()
        guard streams[stream.localID] === stream else { return }
        stream.fill(&batch, now: now)
        schedule(stream)
        stream.reportDrained()
    }

    private func schedule(_ stream: SwarmStream) {
        let deadline = stream.deadline
        guard deadline < stream.scheduledAt else { return }
        stream.scheduledAt = deadline
        deadlines.push(stream.localID, at: deadline)
    }

    private func sendBatch() {
        guard !batch.isEmpty else { return }
        endpoint.send(batch)
        batch.removeAll()
    }

    /// Tells the other side that the stream is gone.
    func destroy(_ udx: inout UDXStream) { udx.destroy(into: &batch) }

    /// The last words of a stream that has ended.
    func flushLast(_ udx: inout UDXStream) {
        udx.flush(now: monotonicNow(), into: &batch)
        sendBatch()
    }

    func sendEmptyMessage(_ udx: inout UDXStream) {
        let nothing: [UInt8] = []
        udx.sendMessage(nothing.span, into: &batch)
    }

    func forget(_ stream: SwarmStream) {
        guard streams[stream.localID] === stream else { return }
        streams[stream.localID] = nil
        recent = nil
        tags[stream.tag] = nil
        relayClients.release(stream.tag)
        core.release(stream.tag, now: monotonicNow(), into: &effects)
        loop.callAgain()
    }

    /// The relay that `tag` counted on is gone, or gives it up.
    func relayEnded(_ tag: ConnectionTag) {
        if let stream = tags[tag], stream.isRelayed {
            stream.fail("the relay is gone")
        } else {
            core.relayFailed(tag, now: monotonicNow(), into: &effects)
            loop.callAgain()
        }
    }

    func takeBuffer() -> [UInt8] { buffers.popLast() ?? [] }

    func giveBack(_ buffer: [UInt8]) {
        guard buffers.count < Limits.buffersMax, buffer.capacity <= Limits.bufferBytesMax else {
            return
        }
        buffers.append(buffer)
    }
}
