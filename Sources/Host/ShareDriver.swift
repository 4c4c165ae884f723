package import Base
package import Share
package import Swarm

/// An address to dial, and why it did not work the last time, if it did not.
package struct DialState: Equatable, Sendable {
    package let address: PeerAddress
    package let problem: String?
}

/// Runs the peer-facing side of one share on an event loop: takes events from transports to the
/// `ConnectionHandler`, carries out its effects, and asks the `PeerBook` whom to dial and keep.
///
/// Confined to the loop's thread, but for `start`, `setPaused`, `stop` and `addresses`.
package final class ShareDriver: LoopMember, @unchecked Sendable {
    private struct Link {
        let stream: any ByteStream
        /// In `dirty` already.
        var isDirty = false
    }

    private let loop: EventLoop
    private let handler: any ConnectionHandler
    private let transports: [any Transport]
    private let topic: Bytes32
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
    private var problems: [PeerAddress: String] = [:]
    /// A report came after the handler was last advanced.
    private var hasNews = false
    private var isStopped = false

    /// - Parameters:
    ///   - transports: attached to this driver by the caller; none when the transport is `disabled`.
    ///   - ownKey: this device's public key.
    ///   - hints: addresses from links and from earlier runs.
    package init(
        loop: EventLoop, handler: any ConnectionHandler, transports: [any Transport],
        topic: Bytes32, ownKey: Bytes32, hints: [PeerAddress] = [], isPaused: Bool = false,
        log: any LogSink, limits: HostLimits = HostLimits(),
        swarmLimits: SwarmLimits = SwarmLimits()
    ) {
        self.loop = loop
        self.handler = handler
        self.transports = transports
        self.topic = topic
        self.log = log
        self.limits = limits
        book = PeerBook(ownKey: ownKey, limits: swarmLimits)
        let now = monotonicNow()
        for hint in hints { book.add(hint, source: .link, now: now) }
        if isPaused { book.pause(into: &bookEffects) }
    }

    /// Begins to connect, unless paused.
    package func start() {
        loop.submit { [self] in
            loop.add(self)
            guard !book.isPaused else { return }
            for transport in transports { transport.connect(topic) }
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
                for transport in transports { transport.connect(topic) }
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

    /// What is known about each address, in the order they came. Not on the loop's thread.
    package var dialStates: [DialState] {
        loop.perform { [self] in
            book.addresses.map { DialState(address: $0, problem: problems[$0]) }
        } ?? []
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
        case .identified(let id, let key, let session):
            book.identified(
                id.rawValue, key: key, session: session, now: monotonicNow(), into: &bookEffects)
            performBookEffects()
        case .found(let address, let source):
            book.add(address, source: source, now: monotonicNow())
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
        case .dial(let address):
            guard let transport = transports.first else { return }
            transport.dial(address)
        case .close(let connection, let reason):
            end(ConnectionID(rawValue: connection), reason: reason, isGentle: true)
        }
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
    package func transport(_ transport: any Transport, found address: PeerAddress) {
        book.add(address, source: .option, now: monotonicNow())
    }

    package func transport(
        _ transport: any Transport, opened stream: any ByteStream, dialed: PeerAddress?
    ) {
        lastNumber += 1
        let id = ConnectionID(rawValue: lastNumber)
        let isWelcome = book.opened(
            lastNumber, dialed: dialed, origin: stream.origin, now: monotonicNow(),
            into: &bookEffects)
        performBookEffects()
        if let dialed { problems[dialed] = nil }
        guard isWelcome, !isStopped else { return stream.abort() }
        links[id] = Link(stream: stream)
        hasNews = true
        handler.connectionOpened(id, isInitiator: dialed != nil, address: stream.address)
        stream.start(observer: self, number: lastNumber)
    }

    package func transport(
        _ transport: any Transport, dialFailed address: PeerAddress, reason: String
    ) {
        book.dialFailed(address, now: monotonicNow(), using: &random)
        // Said once, not with every try.
        guard problems.updateValue(reason, forKey: address) != reason else { return }
        log.write("cannot reach \(address): \(reason)")
        if problems.count > book.addresses.count {
            let known = Set(book.addresses)
            problems = problems.filter { known.contains($0.key) }
        }
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
        hasNews = true
        handler.connectionClosed(id, reason: reason)
    }
}
