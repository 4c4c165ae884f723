import Base
import Chunks

/// All sessions of a share and what is to be fetched through them. Guarded by the peers' lock of
/// `ShareVolume`.
struct PeerTable {
    enum Limits {
        static let sessions = 128
        /// Reads that wait for chunks at once; further ones fail at once.
        static let demands = 1024
        static let demandTime = Duration.seconds(10)
        /// Chunks received are settled, that is synced and wanted no more, in batches.
        static let settleAfter = Duration.milliseconds(500)
        static let settleBytes = 64 << 20
        /// What nobody had is asked for again, and worked out afresh, this often.
        static let retryAfter = Duration.seconds(5)
        /// What found no room is asked for again, one chunk of each peer, this often.
        static let storeRetryAfter = Duration.seconds(5)
        /// While chunks are asked of several peers, it is looked at this often whether one of them is too slow.
        static let shareAfter = Duration.seconds(1)
        /// While nobody is connected, what was committed is made durable this long after.
        static let durableAfter = Duration.milliseconds(500)
        /// How often channels look for questions that a peer left unanswered.
        static let tickInterval = Duration.seconds(5)
    }

    /// What came could not be stored.
    struct StoreFailure {
        var error: StorageError
        /// Nothing is asked for before.
        var retryAt: Instant
        /// Whether a chunk has been asked for since, to see if there is room.
        var isTrying = false
    }

    /// A reader that waits.
    struct Demand {
        var missing: Set<Bytes32>
        /// Later with each chunk that comes: a slow peer is not a silent one.
        var deadline: Instant
        let completion: @Sendable (Bool) -> Void
    }

    var sessions: [ConnectionID: PeerSession] = [:]
    var fetcher = ChunkFetcher()
    var demands: [Demand] = []
    var isPaused = false
    /// Whether what waited for `Engine.hasListened` has been done.
    var hasListened = false
    /// Whether a session holds a join that is not answered yet.
    var holdsJoins = false
    var effects: [ShareEffect] = []
    /// Chunks in the packs whose wants are not settled yet.
    var arrived: [(reference: ChunkReference, isList: Bool)] = []
    var arrivedBytes = 0
    /// Chunks that came to be here since the sessions were last told.
    var stored: [Bytes32] = []
    /// The last one, until something could be stored again.
    var storeFailure: StoreFailure?
    var settleDeadline: Instant?
    var retryDeadline: Instant?
    var tickDeadline: Instant?
    /// The own log's `Engine.ownCommits` that peers were last told of.
    var announcedCommits: UInt64 = 0
    /// The `Engine.appliedBlocks` that peers were last told of.
    var announcedBlocks: UInt64 = 0
    /// The same of what survives a power cut.
    var durableCommits: UInt64 = 0
    var durableDeadline: Instant?
    /// Logs grew, own or others': every session looks what to tell its remote.
    var logsGrew = false
    /// What is here was not told, since something was still wanted.
    var owesHolds = false
    /// Why a member last refused to admit this device.
    var refusal: String?

    /// Sessions in a stable order.
    var ids: [ConnectionID] { sessions.keys.sorted { $0.rawValue < $1.rawValue } }

    /// Takes the completions of readers whose chunks are all here, or whose time is up.
    mutating func takeFinishedDemands(now: Instant) -> [(@Sendable (Bool) -> Void, Bool)] {
        var finished: [(@Sendable (Bool) -> Void, Bool)] = []
        demands.removeAll { demand in
            if demand.missing.isEmpty {
                finished.append((demand.completion, true))
            } else if demand.deadline <= now || isPaused {
                finished.append((demand.completion, false))
            } else {
                return false
            }
            return true
        }
        return finished
    }

    /// Whether a log that grew must be durable now: before anybody can hear of it, and some time later
    /// in any case.
    mutating func mustBeDurable(now: Instant) -> Bool {
        guard sessions.isEmpty, effects.isEmpty else { return true }
        let deadline = durableDeadline ?? now + Limits.durableAfter
        durableDeadline = deadline
        return deadline <= now
    }

    /// A full disk must not have the same chunks sent again and again.
    mutating func couldNotStore(_ address: Bytes32, _ error: StorageError, now: Instant) {
        if storeFailure?.error != error {
            effects.append(.log("chunk \(address) cannot be stored: \(error)"))
        }
        storeFailure = StoreFailure(error: error, retryAt: now + Limits.storeRetryAfter)
    }

    /// - Returns: of how many chunks each peer may be asked at this moment.
    mutating func takeAskable(now: Instant) -> Int {
        guard let failure = storeFailure else { return .max }
        guard failure.retryAt <= now else { return 0 }
        storeFailure?.retryAt = now + Limits.storeRetryAfter
        storeFailure?.isTrying = true
        return 1
    }

    /// Takes the effects of all calls so far.
    ///
    /// - Parameter holdingBack: whether what is to be sent must wait: it is kept for the next time, but
    ///   for connections that end meanwhile.
    mutating func takeEffects(holdingBack: Bool, into taken: inout [ShareEffect]) {
        guard holdingBack else {
            taken.append(contentsOf: effects)
            effects.removeAll(keepingCapacity: true)
            return
        }
        var held: [ShareEffect] = []
        for effect in effects {
            switch effect {
            case .send: held.append(effect)
            case .close(let ended, _), .reject(let ended, _):
                held.removeAll { if case .send(ended, _) = $0 { true } else { false } }
                taken.append(effect)
            case .identified, .found, .log: taken.append(effect)
            }
        }
        effects = held
    }

    /// A chunk is in the packs; it is wanted until they are synced.
    mutating func noteStored(_ reference: ChunkReference, isList: Bool, now: Instant) {
        arrived.append((reference, isList))
        arrivedBytes += Int(reference.length)
        if settleDeadline == nil { settleDeadline = now + Limits.settleAfter }
    }

    /// A chunk is here: it is in the packs, and readable.
    mutating func note(_ wanted: ChunkFetcher.Wanted, now: Instant) {
        noteStored(wanted.reference, isList: wanted.isList, now: now)
        for index in demands.indices
        where demands[index].missing.remove(wanted.reference.address) != nil {
            demands[index].deadline = now + Limits.demandTime
        }
    }

    /// Hands bytes to the host and counts them.
    mutating func send(_ bytes: [UInt8], on id: ConnectionID, now: Instant) {
        guard var session = sessions.removeValue(forKey: id) else { return }
        send(bytes, on: &session, now: now)
        sessions[id] = session
    }

    mutating func send(_ bytes: [UInt8], on session: inout PeerSession, now: Instant) {
        guard !bytes.isEmpty else { return }
        session.bytesSent &+= UInt64(bytes.count)
        session.queuedBytes += bytes.count
        session.sentAt = now
        effects.append(.send(session.id, bytes))
    }
}
