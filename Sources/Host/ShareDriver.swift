package import Base
import Noise
package import Share
package import Swarm

/// What to dial, and why it did not work the last time, if it did not.
package struct DialState: Equatable, Sendable {
    package let target: DialTarget
    package let problem: String?
}

/// How a connection runs at the moment.
package struct LinkState: Equatable, Sendable {
    package let connection: ConnectionID
    package let address: String
    package let path: PeerPath
    package let roundTripTime: Duration?
}

/// The topics of one share (`ShareKeys`).
package struct ShareTopics: Equatable, Sendable {
    /// Where members replicate.
    package let data: Bytes32
    /// Where a device that is not yet a member meets members; they do not look for it.
    package let bootstrap: Bytes32

    package init(data: Bytes32, bootstrap: Bytes32) {
        self.data = data
        self.bootstrap = bootstrap
    }
}

/// Runs the peer-facing side of one share on an event loop: takes events from transports to the
/// `ConnectionHandler`, carries out its effects, and asks the `PeerBook` whom to dial and keep.
///
/// Confined to the loop's thread, but for `start`, `becomeMember`, `setPaused`, `stop` and what is
/// said to be for other threads.
package final class ShareDriver: LoopMember, @unchecked Sendable {
    private struct Link {
        let stream: any ByteStream
        /// Nil if the peer came to us.
        let dialed: DialTarget?
        /// In `dirty` already.
        var isDirty = false
    }

    private let loop: EventLoop
    private let handler: any ConnectionHandler
    private let transports: [any Transport]
    private let topics: ShareTopics
    /// Whether this device has been admitted: until then it looks for members and is not found.
    private var isMember = true
    private let log: any LogSink
    private let limits: HostLimits
    private var book: PeerBook
    private var random = SystemRandomNumberGenerator()
    private var links: [ConnectionID: Link] = [:]
    /// Connections with bytes to flush at the end of the round, in the order they got them.
    private var dirty: [ConnectionID] = []
    private var shareEffects: [ShareEffect] = []
    private var bookEffects: [PeerBook.Effect] = []
    private var lastNumber: UInt64 = 0
    /// Why the last dial of an address failed; only of addresses that the book knows.
    private var problems: [DialTarget: String] = [:]
    /// Where devices of the share have answered without a DHT, the last first.
    private var provedAddresses: [PeerAddress]
    /// A report came after the handler was last advanced.
    private var hasNews = false {
        didSet {
            // A transport may report after this has run in the round.
            if hasNews { loop.callAgain() }
        }
    }
    private var isStopped = false

    /// - Parameters:
    ///   - transports: attached to this driver by the caller; none when the transport is `disabled`.
    ///   - ownKey: this device's public key.
    ///   - hints: addresses from links and from earlier runs.
    package init(
        loop: EventLoop, handler: any ConnectionHandler, transports: [any Transport],
        topics: ShareTopics, ownKey: Bytes32, hints: [PeerAddress] = [], isPaused: Bool = false,
        log: any LogSink, limits: HostLimits = HostLimits(),
        swarmLimits: SwarmLimits = SwarmLimits()
    ) {
        self.loop = loop
        self.handler = handler
        self.transports = transports
        self.topics = topics
        self.log = log
        self.limits = limits
        book = PeerBook(ownKey: ownKey, limits: swarmLimits)
        let now = monotonicNow()
        provedAddresses = hints
        for hint in hints { book.add(.address(hint), source: .link, now: now) }
        if isPaused { book.pause(into: &bookEffects) }
    }

    /// Begins to connect, unless paused.
    ///
    /// - Parameter isMember: whether this device has been admitted to the share.
    package func start(isMember: Bool = true) {
        loop.submit { [self] in
            self.isMember = isMember
            loop.add(self)
            if !book.isPaused { connect() }
        }
    }

    /// This device has been admitted: it can be found from now on.
    package func becomeMember() {
        loop.submit { [self] in
            guard !isMember else { return }
            isMember = true
            if !book.isPaused, !isStopped { connect() }
        }
    }

    private func connect() {
        for transport in transports {
            if isMember {
                transport.announce(topics.bootstrap)
                transport.connect(topics.data)
            } else {
                transport.lookup(topics.bootstrap)
            }
        }
    }

    /// Closes all connections and makes none until called with false, which dials at once.
    package func setPaused(_ isPaused: Bool) {
        loop.submit { [self] in
            guard isPaused != book.isPaused, !isStopped else { return }
            if isPaused {
                book.pause(into: &bookEffects)
                for transport in transports { transport.disconnect() }
            } else {
                book.resume(now: monotonicNow())
                connect()
            }
        }
    }

    /// Lets the handler say its last words, closes everything and leaves the loop; waits until the
    /// handler has been told, so that no call to it follows. Not on the loop's thread.
    package func stop() {
        _ = loop.perform { [self] in
            guard !isStopped else { return }
            advanceHandler()
            book.pause(reason: "this device stops", into: &bookEffects)
            performBookEffects()
            for transport in transports { transport.disconnect() }
            isStopped = true
            loop.remove(self)
        }
    }

    /// Where this device can be reached now, for invite links. Not on the loop's thread.
    package var addresses: [PeerAddress] {
        loop.perform { [self] in transports.flatMap(\.addresses) } ?? []
    }

    /// Where devices of the share have answered, in this run or in those that `hints` came from; the
    /// last first. Not on the loop's thread.
    package var answeredAddresses: [PeerAddress] {
        loop.perform { [self] in provedAddresses } ?? []
    }

    /// What is known about each address, in the order they came. Not on the loop's thread.
    package var dialStates: [DialState] {
        loop.perform { [self] in
            book.targets.map { DialState(target: $0, problem: problems[$0]) }
        } ?? []
    }

    /// How each connection runs. Not on the loop's thread.
    package var linkStates: [LinkState] {
        loop.perform { [self] in
            links.sorted { $0.key.rawValue < $1.key.rawValue }.map { id, link in
                LinkState(
                    connection: id, address: link.stream.address, path: link.stream.path,
                    roundTripTime: link.stream.roundTripTime)
            }
        } ?? []
    }

    /// What keeps transports from their work, in words. Not on the loop's thread.
    package var transportProblems: [String] {
        loop.perform { [self] in transports.compactMap(\.problem) } ?? []
    }

    package func run(now: Instant) -> Instant {
        let bookDue = book.advance(now: now, into: &bookEffects)
        performBookEffects()
        let handlerDue = advanceHandler()
        // Effects may have told the book something, and flushing may have freed room.
        return hasNews || !bookEffects.isEmpty ? now : min(bookDue, handlerDue)
    }

    @discardableResult
    private func advanceHandler() -> Instant {
        hasNews = false
        shareEffects.removeAll(keepingCapacity: true)
        let due = handler.advance(into: &shareEffects)
        for effect in shareEffects { perform(effect) }
        flush()
        return due
    }
}

// Effects.
extension ShareDriver {
    private func perform(_ effect: ShareEffect) {
        switch effect {
        case .send(let id, let bytes): send(id, bytes)
        case .close(let id, let reason):
            book.closed(id.rawValue, now: monotonicNow(), using: &random)
            end(id, reason: reason, isGentle: true)
        case .reject(let id, let reason):
            book.violated(id.rawValue, now: monotonicNow(), using: &random)
            end(id, reason: reason, isGentle: false)
        case .identified(let id, let key, let session, let instance):
            book.identified(
                id.rawValue, key: key, session: session, instance: instance, now: monotonicNow(),
                into: &bookEffects)
            performBookEffects()
            if let link = links[id] { remember(link) }
        case .found(let address, let source):
            book.add(.address(address), source: source, now: monotonicNow())
            hasNews = true
        case .log(let line): log.write(line)
        }
    }

    private func performBookEffects() {
        while !bookEffects.isEmpty {
            // Performing one may add more.
            let effects = bookEffects
            bookEffects.removeAll(keepingCapacity: true)
            for effect in effects { perform(effect) }
        }
    }

    private func perform(_ effect: PeerBook.Effect) {
        switch effect {
        case .dial(let target):
            guard let transport = transports.first(where: { $0.dials(target) }) else {
                return book.dialFailed(target, now: monotonicNow(), using: &random)
            }
            transport.dial(target)
        case .close(let connection, let reason):
            end(ConnectionID(rawValue: connection), reason: reason, isGentle: true)
        }
    }

    private func remember(_ link: Link) {
        for transport in transports { transport.proved(link.stream, wasDialed: link.dialed != nil) }
        guard case .address(let address) = link.dialed else { return }
        provedAddresses.removeAll { $0 == address }
        provedAddresses.insert(address, at: 0)
        if provedAddresses.count > limits.provedAddressesMax { provedAddresses.removeLast() }
    }

    private func send(_ id: ConnectionID, _ bytes: [UInt8]) {
        guard var link = links[id] else { return }
        guard link.stream.queuedBytes <= limits.queueBytesMax else {
            book.closed(id.rawValue, now: monotonicNow(), using: &random)
            return end(id, reason: "does not read what is sent to it", isGentle: false)
        }
        link.stream.send(bytes)
        guard !link.isDirty else { return }
        link.isDirty = true
        links[id] = link
        dirty.append(id)
    }

    /// Many messages leave with one system call.
    private func flush() {
        let ids = dirty
        dirty.removeAll(keepingCapacity: true)
        for id in ids {
            links[id]?.isDirty = false
            links[id]?.stream.flush()
        }
    }

    private func end(_ id: ConnectionID, reason: String, isGentle: Bool) {
        guard let link = links.removeValue(forKey: id) else { return }
        log.write("closed \(link.stream.address): \(reason)")
        if isGentle, link.stream.queuedBytes > 0 {
            link.stream.finish()
        } else {
            link.stream.abort()
        }
        hasNews = true
        handler.connectionClosed(id, reason: reason)
    }
}

extension ShareDriver: TransportObserver {
    package func transport(_ transport: any Transport, found target: DialTarget) {
        // Addresses that a transport was given are as good as its options; devices are announced
        // by whoever knows the topic.
        let source: PeerBook.Source =
            if case .address = target, transport.name == "direct" { .option } else { .learnt }
        book.add(target, source: source, now: monotonicNow())
        hasNews = true
    }

    package func transport(
        _ transport: any Transport, opened stream: any ByteStream, dialed: DialTarget?
    ) {
        lastNumber += 1
        let id = ConnectionID(rawValue: lastNumber)
        let remote = stream.handshake?.remotePublicKey.map { DialTarget.device($0) }
        let isWelcome = book.opened(
            lastNumber, dialed: dialed, remote: remote, quality: stream.path.quality,
            origin: stream.origin, now: monotonicNow(), into: &bookEffects)
        performBookEffects()
        if let dialed { problems[dialed] = nil }
        guard isWelcome, !isStopped else { return stream.abort() }
        links[id] = Link(stream: stream, dialed: dialed)
        hasNews = true
        handler.connectionOpened(
            id, isInitiator: dialed != nil, address: stream.address, handshake: stream.handshake)
        stream.start(observer: self, number: lastNumber)
    }

    package func transport(
        _ transport: any Transport, dialFailed target: DialTarget, reason: String
    ) {
        book.dialFailed(target, now: monotonicNow(), using: &random)
        hasNews = true
        // Said once, not with every try.
        guard problems.updateValue(reason, forKey: target) != reason else { return }
        log.write("cannot reach \(target): \(reason)")
        if problems.count > book.targets.count {
            let known = Set(book.targets)
            problems = problems.filter { known.contains($0.key) }
        }
    }

    package func transportNoticedNetworkChange(_ transport: any Transport) {
        let now = monotonicNow()
        log.write("the network has changed")
        book.retryAll(now: now)
        handler.networkChanged()
        for (_, link) in links.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            link.stream.verify(now: now)
        }
        hasNews = true
        for other in transports where other !== transport { other.searchAgain() }
    }
}

extension ShareDriver: ByteStreamObserver {
    package func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>) {
        hasNews = true
        handler.connectionReceived(ConnectionID(rawValue: number), bytes)
    }

    package func streamDrained(_ number: UInt64, queuedBytes: Int) {
        hasNews = true
        handler.connectionDrained(ConnectionID(rawValue: number), queuedBytes: queuedBytes)
    }

    package func streamClosed(_ number: UInt64, reason: String) {
        let id = ConnectionID(rawValue: number)
        guard let link = links.removeValue(forKey: id) else { return }
        book.closed(number, now: monotonicNow(), using: &random)
        log.write("lost \(link.stream.address): \(reason)")
        // Wherever it went, it may announce itself there already.
        if !isStopped, !book.isPaused { for transport in transports { transport.searchAgain() } }
        hasNews = true
        handler.connectionClosed(id, reason: reason)
    }
}
