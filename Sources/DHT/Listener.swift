internal import Base
internal import Crypto
internal import Wire

/// What a server keeps of the handshakes of others, and which of them it takes on
/// (`connect.md` 2.5).
struct Listener: Sendable {
    let target: Bytes32
    var announcer: Announcer
    var isListening = false
    private(set) var incoming = HyperDHTTable<Incoming>()
    private var tags: [Bytes32: ConnectionTag] = [:]
    /// Which number of a handshake is whose; the lowest free one is taken.
    private var numbers: [ConnectionTag?] = []
    private var budget: HandshakeBudget
    private let limits: HyperDHTLimits
    /// Handshakes that were not looked at, because too many came.
    private(set) var refusedCount = 0

    init(keyPair: KeyPair, limits: HyperDHTLimits) {
        target = Blake2b.hash256(keyPair.publicKey.bytes)
        announcer = Announcer(keyPair: keyPair, target: target)
        budget = HandshakeBudget(limits: limits)
        self.limits = limits
    }

    func tag(forDigest digest: Bytes32) -> ConnectionTag? { tags[digest] }

    func tag(forNumber number: UInt64) -> ConnectionTag? {
        guard let index = Int(exactly: number), numbers.indices.contains(index) else { return nil }
        return numbers[index]
    }

    func lane(of request: InboundRequest, mode: RelayMode) -> HandshakeLane {
        if mode == .fromClient { return .direct }
        return announcer.isRelay(request.from) ? .relay(request.from) : .stranger
    }

    /// One handshake, to be changed in place.
    subscript(tag: ConnectionTag) -> Incoming? {
        get { incoming[tag] }
        _modify { yield &incoming[tag] }
    }

    /// Whether one more handshake may be computed and kept. It is charged first, which costs the
    /// same however many there are.
    mutating func admits(lane: HandshakeLane, origin: NetworkAddress, now: Instant) -> Bool {
        guard budget.spend(lane: lane, origin: origin, now: now), hasRoom(lane, origin) else {
            refusedCount &+= 1
            return false
        }
        return true
    }

    private func hasRoom(_ lane: HandshakeLane, _ origin: NetworkAddress) -> Bool {
        guard incoming.count < limits.handshakesMax else { return false }
        var ofLane = 0
        var halfOpenOfLane = 0
        var halfOpenOfOrigin = 0
        for entry in incoming.entries.values where entry.lane == lane {
            ofLane += 1
            guard entry.isHalfOpen else { continue }
            halfOpenOfLane += 1
            if entry.clientAddress.address == origin { halfOpenOfOrigin += 1 }
        }
        return ofLane < limits.handshakesPerLaneMax && halfOpenOfLane < limits.halfOpenPerLaneMax
            && halfOpenOfOrigin < limits.halfOpenPerOriginMax
    }

    mutating func takeNumber(for tag: ConnectionTag) -> Int {
        if let free = numbers.firstIndex(of: nil) {
            numbers[free] = tag
            return free
        }
        numbers.append(tag)
        return numbers.count - 1
    }

    mutating func insert(_ entry: Incoming) {
        incoming[entry.tag] = entry
        tags[entry.digest] = entry.tag
    }

    mutating func forget(_ tag: ConnectionTag) {
        guard let entry = incoming[tag] else { return }
        incoming[tag] = nil
        tags[entry.digest] = nil
        numbers[entry.number] = nil
        while numbers.last == .some(nil) { numbers.removeLast() }
    }

    /// Those that have something to do, in the order in which they came.
    func due(now: Instant) -> [ConnectionTag] { incoming.due(now: now) }
    mutating func lookAgain(now: Instant) { incoming.lookAgain(now: now) }

    var deadline: Instant { min(announcer.deadline, incoming.deadline) }

    /// Accounts of relays that are none any longer are closed.
    mutating func forgetOldRelays() { budget.keep(relays: announcer.knownRelays) }
}
