package import Base
internal import Crypto
internal import Wire

/// One log on one connection: a `hypercore/alpha` channel, without the I/O.
///
/// Fetches everything the remote has, from the front and pipelined, and serves everything asked for.
/// Nothing is stored that was not proved. Several replications share one `Log` and never ask two
/// peers for the same block. All calls throw when storage fails: the remote is not to blame, what was
/// asked may be asked again, and effects appended before the error count all the same.
///
/// The channel's id is the log's discovery key; `openHandshake` goes into its Open. After the
/// effects `stored`, `upgraded`, `truncated` and `released`, and after `closed`, call `localChanged`
/// on the log's other replications.
package struct LogReplication {
    package enum Effect: Equatable, Sendable {
        /// Send this message on the channel.
        case send(type: Int, payload: [UInt8])
        /// These blocks are in storage now.
        case stored(Range<UInt64>)
        /// The log's proved length is now this; its blocks come with `stored`.
        case upgraded(UInt64)
        /// The log went over to a higher fork: blocks from this index on are gone.
        case truncated(UInt64)
        /// What was asked of this peer may be asked of others.
        case released
        /// The remote says how long its log is. Not proved: a claim.
        case remoteLength(UInt64)
        /// The remote says that it has every block below this, which is at most our length.
        case remoteAcknowledged(UInt64)
        /// On the writer's own device: the remote's copy is the history that is here, in so many first blocks; shown by
        /// hashes and not a claim.
        case shared(UInt64)
        /// The writer signed two histories of the same fork. They agree on `common` blocks at least;
        /// `proof` is the other one's Data message, to be kept as evidence. Nothing more is fetched
        /// here.
        case conflict(common: UInt64, proof: [UInt8])
        /// On the writer's own device: its key signed a longer log, and the remote cannot show for a while now how that
        /// goes on from what is here. They agree on `common` blocks at least; `proof` is the longer one's Data
        /// message. Nothing more is fetched here.
        case unfollowed(common: UInt64, proof: [UInt8])
        /// What the log was after the blocks that `askPrefix` named, by its writer's signature.
        case prefix(LogPrefix)
        /// The remote cannot prove what `askPrefix` asked for: it lacks tree nodes, as one does that began to copy the
        /// log in its middle.
        case noPrefix(UInt64)
        /// The remote broke the protocol: drop the connection. Nothing happens here any more.
        case violation(String)
    }

    package static let protocolName = "hypercore/alpha"
    /// The size of a connection's handshake hash.
    package static let handshakeHashSize = 64

    enum Phase { case opening, open, ended }

    package let log: Log
    /// Tells this replication from the log's others.
    let identity: Int
    let followsForks: Bool
    private let handshakeHash: [UInt8]
    private let isInitiator: Bool

    /// Whether the remote is shown no more of the log than it says to have: for who may have an older state of a log of
    /// its own than others. What it lacks is offered by `showAll`; comparing goes on meanwhile.
    private(set) var isWithheld: Bool

    var phase = Phase.opening
    var remote = Remote()
    var fetch = Fetch()
    var service = Service()

    /// - Parameters:
    ///   - handshakeHash: the connection's, `handshakeHashSize` bytes.
    ///   - isInitiator: whether this side began the Noise handshake.
    ///   - followsForks: whether a signed higher fork may cut off blocks that are stored here. An
    ///     empty log takes any fork.
    ///   - isWithheld: whether the remote is shown no more of the log than it says to have, until `showAll`.
    package init(
        log: Log, handshakeHash: [UInt8], isInitiator: Bool, followsForks: Bool = false,
        isWithheld: Bool = false
    ) {
        precondition(
            handshakeHash.count == Self.handshakeHashSize,
            "a handshake hash of \(handshakeHash.count) bytes")
        self.log = log
        self.handshakeHash = handshakeHash
        self.isInitiator = isInitiator
        self.followsForks = followsForks
        self.isWithheld = isWithheld
        identity = log.nextReplication()
    }

    // MARK: Opening and closing

    /// What proves knowledge of a log's key on one connection.
    ///
    /// - Parameter senderIsInitiator: whether who sends the proof began the Noise handshake.
    package static func capability(
        key: Bytes32, handshakeHash: [UInt8], senderIsInitiator: Bool
    ) -> Bytes32 {
        var hasher = Blake2bHasher(key: handshakeHash)
        hasher.update(
            senderIsInitiator
                ? LogNamespace.replicateInitiator : LogNamespace.replicateResponder)
        hasher.update(key)
        return hasher.finalize()
    }

    /// The handshake that goes into this side's Open.
    package var openHandshake: [UInt8] {
        ChannelHandshake(
            seeks: true,
            capability: Self.capability(
                key: log.key, handshakeHash: handshakeHash, senderIsInitiator: isInitiator)
        ).encoded(reserving: 33)
    }

    /// The remote's Open has come.
    package mutating func opened(
        remoteHandshake: [UInt8], into effects: inout [Effect]
    ) throws(StorageError) {
        guard phase == .opening else { return violate("opened twice", into: &effects) }
        let handshake: ChannelHandshake
        do { handshake = try ChannelHandshake(decoding: remoteHandshake.span) } catch {
            return violate("handshake: \(error)", into: &effects)
        }
        let expected = Self.capability(
            key: log.key, handshakeHash: handshakeHash, senderIsInitiator: !isInitiator)
        guard handshake.capability == expected else {
            return violate("the remote does not know the log's key", into: &effects)
        }
        phase = .open
        try sendSync(into: &effects)
        guard !isWithheld else { return }
        service.announced = log.held
        service.announcedGeneration = log.heldGeneration
        if log.contiguousLength > 0 {
            send(.range, RangeMessage(start: 0, length: log.contiguousLength), into: &effects)
        }
    }

    /// The channel or the connection is gone: what it was asked for may be asked of others.
    package mutating func closed() {
        releaseEverything()
        phase = .ended
    }

    // MARK: Events

    /// A message has come. Unknown types are ignored.
    package mutating func receive(
        type: Int, payload: Span<UInt8>, into effects: inout [Effect]
    ) throws(StorageError) {
        guard phase != .ended, let type = MessageType(rawValue: type) else { return }
        guard phase == .open else {
            return violate("a message before the remote's Open", into: &effects)
        }
        switch type {
        case .sync:
            guard let message: SyncMessage = decode(payload, into: &effects) else { return }
            try receive(message, into: &effects)
        case .request:
            guard let message: RequestMessage = decode(payload, into: &effects) else { return }
            try receive(message, into: &effects)
        case .cancel:
            guard let message: CancelMessage = decode(payload, into: &effects) else { return }
            service.waiting.removeAll { $0.requestID == message.request }
        case .data:
            guard let message: DataMessage = decode(payload, into: &effects) else { return }
            try receive(message, payload: payload, into: &effects)
        case .noData:
            guard let message: NoDataMessage = decode(payload, into: &effects) else { return }
            try receive(message, into: &effects)
        case .want:
            guard let message: WantMessage = decode(payload, into: &effects) else { return }
            try receive(message, into: &effects)
        case .unwant:
            // Everything is announced to everyone: there is nothing to leave out.
            let _: WantMessage? = decode(payload, into: &effects)
        case .bitfield:
            guard let message: BitfieldMessage = decode(payload, into: &effects) else { return }
            try receive(message, into: &effects)
        case .range:
            guard let message: RangeMessage = decode(payload, into: &effects) else { return }
            try receive(message, into: &effects)
        case .extension:
            let _: ExtensionMessage? = decode(payload, into: &effects)
        }
    }

    /// The log has changed: it was appended to, or another replication took something in or gave
    /// something back.
    package mutating func localChanged(into effects: inout [Effect]) throws(StorageError) {
        guard phase == .open else { return }
        announceIfDue(into: &effects)
        noteAcknowledgement(into: &effects)
        try sendSync(into: &effects)
        try schedule(into: &effects)
    }

    /// The remote may have all of the log now: `localChanged` tells it.
    package mutating func showAll() { isWithheld = false }

    /// Bytes that wait on the connection to be sent. Answers wait while it is above 1 MiB. Whoever
    /// sets it keeps it up to date and calls `drained`; left at 0, answers never wait.
    package var queuedBytes: Int {
        get { service.queuedBytes }
        set { service.queuedBytes = newValue }
    }

    /// Less waits on the connection now: answers that were held back follow.
    package mutating func drained(
        queuedBytes: Int, into effects: inout [Effect]
    ) throws(StorageError) {
        service.queuedBytes = queuedBytes
        guard phase == .open else { return }
        try serve(into: &effects)
    }

    /// Time passes; to be called every few seconds. What a peer leaves unanswered for 20 seconds is
    /// taken back.
    package mutating func tick(
        now: Instant, into effects: inout [Effect]
    ) throws(StorageError) {
        guard phase == .open else { return }
        askWhetherLonger(now: now, into: &effects)
        guard fetch.isWaiting else {
            fetch.waitingSince = nil
            // Others have had their turn; a slow peer is better than none.
            if fetch.isSlow { try schedule(into: &effects) }
            return
        }
        guard let since = fetch.waitingSince, fetch.answersAtTick == fetch.answers else {
            fetch.waitingSince = now
            fetch.answersAtTick = fetch.answers
            return
        }
        guard now - since >= Limits.answerTimeout else { return }
        fetch.waitingSince = nil
        if let suspicion = fetch.suspicion { return violate(suspicion, into: &effects) }
        for id in fetch.inFlight.keys.sorted() {
            send(.cancel, CancelMessage(request: id), into: &effects)
        }
        releaseEverything()
        fetch.isSlow = true
        effects.append(.released)
    }

    /// Whether messages of this type may make the log longer or add blocks to it.
    package static func bringsBlocks(type: Int) -> Bool { type == MessageType.data.rawValue }

    // MARK: What the remote says

    /// How long the remote says its log is; nil until it has said so.
    package var remoteLength: UInt64? { remote.sync?.length }

    /// The remote says that it has every block below this.
    package var remoteContiguousLength: UInt64 { remote.blocks.contiguousLength }

    /// Whether the remote says that it can give a block.
    package func remoteHas(_ block: UInt64) -> Bool { remote.blocks.contains(block) }

    // MARK: Details

    private mutating func decode<Value: Message>(
        _ payload: Span<UInt8>, into effects: inout [Effect]
    ) -> Value? {
        do { return try Value(decoding: payload) } catch {
            violate("\(Value.self): \(error)", into: &effects)
            return nil
        }
    }

    func send(_ type: MessageType, _ message: some Message, into effects: inout [Effect]) {
        effects.append(.send(type: type.rawValue, payload: message.encoded()))
    }

    mutating func violate(_ reason: String, into effects: inout [Effect]) {
        effects.append(.violation(reason))
        closed()
    }
}
