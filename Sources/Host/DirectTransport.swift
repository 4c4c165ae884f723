package import Base
import Glibc
package import Swarm

/// TCP to addresses that are known: those of `--peer` and of links, and whoever dials us.
///
/// It has no directory, so it is all one which topics there are: `lookup` finds the peers it was
/// given, and it accepts connections while anything is announced. Confined to its loop's thread once `connect` is called.
package final class DirectTransport: Transport, LoopMember, StreamKeeper, @unchecked Sendable {
    package let name = "direct"
    private let loop: EventLoop
    private let workers: WorkerPool
    private let limits: HostLimits
    private let peers: [PeerAddress]
    private var listener: TCPListener?
    private weak var observer: (any TransportObserver)?
    private var isAccepting: Bool { !announced.isEmpty }
    private var announced: Set<Bytes32> = []
    private var dials: [TCPDial] = []
    private var streams: [ObjectIdentifier: TCPStream] = [:]
    /// Raised by `disconnect`: a name that resolves later belongs to an earlier life.
    private var generation = 0
    /// When a deadline may be due; deadlines are looked at this often at most.
    private var sweepAt = Instant.distantFuture

    private static let sweepInterval: Duration = .milliseconds(500)

    /// - Parameters:
    ///   - listen: where to accept connections, port 0 for any free one; nil accepts none.
    ///   - preferredPort: tried first when any free port will do, so that the addresses in links
    ///     stay good across restarts; 0 for none.
    ///   - peers: what `lookup` finds.
    ///   - workers: resolve names.
    /// - Throws: when the address cannot be listened on. Blocks while its name is resolved.
    package init(
        loop: EventLoop, workers: WorkerPool, listen: PeerAddress?, preferredPort: UInt16 = 0,
        peers: [PeerAddress], limits: HostLimits = HostLimits()
    ) throws(HostError) {
        self.loop = loop
        self.workers = workers
        self.limits = limits
        self.peers = peers
        guard let listen else { return }
        var failure = HostError.unknownHost(listen.host)
        for address in try Self.candidates(listen, preferredPort: preferredPort) {
            do {
                listener = try TCPListener(address, loop: loop, limits: limits) {
                    [unowned self] in accepted($0, $1)
                }
                return
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// Begins to run on the loop, which must have been started.
    package func attach(_ observer: any TransportObserver) throws(HostError) {
        let failure: HostError?? = loop.perform { [self] in
            self.observer = observer
            loop.add(self)
            do throws(HostError) {
                try listener?.open()
                return nil
            } catch {
                return error
            }
        }
        if case .some(.some(let error)) = failure { throw error }
    }

    /// The port that is listened on; nil without.
    package var listenAddress: PeerAddress? { listener?.address.peerAddress }

    package var addresses: [PeerAddress] {
        guard let bound = listener?.address else { return [] }
        return bound.isWildcard
            ? SocketAddress.ofInterfaces(port: bound.port) : [bound.peerAddress]
    }

    package func connect(_ topic: Bytes32) {
        lookup(topic)
        announce(topic)
    }

    package func announce(_ topic: Bytes32) {
        announced.insert(topic)
        listener?.accept()
    }

    package func lookup(_ topic: Bytes32) {
        announced.remove(topic)
        for peer in peers { observer?.transport(self, found: .address(peer)) }
    }

    package func leave(_ topic: Bytes32) { announced.remove(topic) }

    /// Keeps the port, so that `connect` gets it back, and turns away who comes.
    package func disconnect() {
        announced = []
        generation += 1
        for dial in dials { dial.cancel() }
        dials = []
    }

    /// Closes the port and ends all streams, giving up what is still queued. From any thread;
    /// waits for that.
    package func close() {
        _ = loop.perform { [self] in
            disconnect()
            listener?.close()
            listener = nil
            loop.remove(self)
            for stream in Array(streams.values) { stream.abort() }
        }
    }

    package func dials(_ target: DialTarget) -> Bool {
        if case .address = target { true } else { false }
    }

    package func dial(_ target: DialTarget) {
        guard case .address(let address) = target else { return }
        guard streams.count + dials.count < limits.streamsMax else {
            observer?.transport(self, dialFailed: .address(address), reason: "too many connections")
            return
        }
        if let numeric = try? SocketAddress.resolve(address, isNumeric: true) {
            return dial(address, numeric)
        }
        let generation = generation
        let isQueued = workers.trySubmit { [loop, self] in
            let result: Result<[SocketAddress], HostError>
            do throws(HostError) {
                result = .success(try SocketAddress.resolve(address, isNumeric: false))
            } catch {
                result = .failure(error)
            }
            loop.submit { self.resolved(address, result, generation) }
        }
        if !isQueued {
            observer?.transport(self, dialFailed: .address(address), reason: "too much to do")
        }
    }

    package func run(now: Instant) -> Instant {
        listener?.run(now: now)
        if now >= sweepAt { sweep(now: now) }
        return min(sweepAt, listener?.resumesAt ?? .distantFuture)
    }

    func streamEnded(_ stream: TCPStream) { streams[ObjectIdentifier(stream)] = nil }

    func streamHasDeadline() {
        guard sweepAt == .distantFuture else { return }
        sweepAt = monotonicNow() + Self.sweepInterval
    }

    /// Bytes that wait on streams that are being closed.
    package var isFlushing: Bool {
        streams.values.contains { $0.isFinishing && $0.queuedBytes > 0 }
    }
}

extension DirectTransport {
    /// What to listen on, in the order to try.
    private static func candidates(
        _ listen: PeerAddress, preferredPort: UInt16
    ) throws(HostError) -> [SocketAddress] {
        var wanted = [listen]
        // A kernel without IPv6.
        if listen.host == PeerAddress.everywhere.host {
            wanted.append(PeerAddress(host: "0.0.0.0", port: listen.port))
        }
        if listen.port == 0, preferredPort != 0 {
            wanted.insert(
                contentsOf: wanted.map { .init(host: $0.host, port: preferredPort) }, at: 0)
        }
        var found: [SocketAddress] = []
        for address in wanted {
            found += try SocketAddress.resolve(address, isNumeric: false, forListening: true)
        }
        return found
    }

    private func resolved(
        _ address: PeerAddress, _ result: Result<[SocketAddress], HostError>, _ generation: Int
    ) {
        guard generation == self.generation else { return }
        switch result {
        case .success(let found): dial(address, found)
        case .failure(let error):
            observer?.transport(self, dialFailed: .address(address), reason: "\(error)")
        }
    }

    private func dial(_ target: PeerAddress, _ addresses: [SocketAddress]) {
        let dial = TCPDial(target, addresses, loop: loop, timeout: limits.dialTimeout) {
            [weak self] in self?.dialed(target, $0)
        }
        dials.append(dial)
        streamHasDeadline()
        dial.start()
    }

    private func dialed(
        _ target: PeerAddress, _ result: Result<(Int32, SocketAddress), HostError>
    ) {
        dials.removeAll { $0.target == target }
        switch result {
        case .success((let descriptor, let remote)):
            opened(descriptor, remote, dialed: target)
        case .failure(let error):
            observer?.transport(self, dialFailed: .address(target), reason: "\(error)")
        }
    }

    private func accepted(_ descriptor: Int32, _ remote: SocketAddress) {
        guard isAccepting, streams.count < limits.streamsMax else {
            Glibc.close(descriptor)
            // While there are too many, one is turned away per pause; the rest waits.
            if isAccepting { listener?.holdOff(now: monotonicNow()) }
            return
        }
        opened(descriptor, remote, dialed: nil)
    }

    private func opened(_ descriptor: Int32, _ remote: SocketAddress, dialed: PeerAddress?) {
        let stream = TCPStream(
            Descriptor(descriptor), remote: remote, loop: loop, limits: limits, keeper: self)
        streams[ObjectIdentifier(stream)] = stream
        guard let observer else { return stream.abort() }
        observer.transport(self, opened: stream, dialed: dialed.map { .address($0) })
    }

    private func sweep(now: Instant) {
        sweepAt = .distantFuture
        for dial in dials where now >= dial.deadline { dial.expire() }
        // A stream's expiry is reported; the order of reports is that of nothing else.
        for stream in Array(streams.values) {
            if let deadline = stream.deadline, now >= deadline { stream.expire() }
        }
        if !dials.isEmpty || streams.values.contains(where: { $0.deadline != nil }) {
            sweepAt = now + Self.sweepInterval
        }
    }
}
