import Base
import Chunks

/// Which missing chunks to ask of whom: what a reader waits for goes first, what one peer lacks is asked of the next.
///
/// Each connection is asked for what it brings in about two seconds, and every chunk of one connection. Where nothing
/// else is left to ask for, what would come much later from another connection is asked of this one as well; what a
/// reader waits for, at any time. Nothing is taken back before it has come from one of the two: whatever is believed of
/// their pace, no chunk comes later for it.
///
/// A value without I/O. The wants themselves are durable in the storage; this is the working set.
struct ChunkFetcher {
    struct Wanted: Equatable {
        var reference: ChunkReference
        /// Whether the chunk holds a list of pieces (of a content tree) and not file bytes.
        var isList: Bool
        /// Whether a reader waits for it.
        fileprivate var isUrgent = false
        /// Whether it is in `urgent`.
        fileprivate var isListed = false
        /// See `WantedChunk`.
        fileprivate(set) var isOwed: Bool
        fileprivate var askedOf: ConnectionID?
        /// Another one, because it would come late from the first.
        fileprivate var alsoAskedOf: ConnectionID?
        fileprivate var lackedBy: [ConnectionID] = []

        init(reference: ChunkReference, isList: Bool, isOwed: Bool = true) {
            self.reference = reference
            self.isList = isList
            self.isOwed = isOwed
        }
    }

    enum Limits {
        /// Asked of one connection and not answered yet.
        static let inFlightCount = 64
        static let inFlightBytes = 128 << 10...8 << 20
        /// While it is not known how fast a connection is.
        static let inFlightBytesFirst = 1 << 20
        /// For how long what is asked of one connection is to last.
        static let inFlightSeconds = 2.0
        /// How long a chunk takes from a connection that nothing is known of.
        static let secondsExpected = 0.5
        /// What comes sooner by no more than this is not worth asking for anew.
        static let secondsGained = 1.0
        /// How often connections are compared.
        static let balanceInterval = Duration.milliseconds(500)
    }

    /// What is asked of one connection and not answered.
    private struct Line {
        var count = 0
        var bytes = 0
        /// Those of them that another connection was asked for since.
        var sharedBytes = 0
        var pace = LinePace()
        /// In the order of asking; those settled meanwhile are skipped.
        var asked: [Bytes32] = []
        var comparedAt: Instant?

        /// How many bytes may be asked for.
        func window(now: Instant) -> Int {
            guard let rate = pace.rate(now: now) else { return Limits.inFlightBytesFirst }
            let most = Double(Limits.inFlightBytes.upperBound)
            let bytes = Int(min(rate * Limits.inFlightSeconds, most))
            return max(bytes, Limits.inFlightBytes.lowerBound)
        }

        /// Seconds until so many bytes more have come.
        func wait(for bytes: Int, now: Instant) -> Double {
            guard let rate = pace.rate(now: now) else { return Limits.secondsExpected }
            return Double(bytes) / max(rate, 1)
        }

        /// Seconds until so many bytes have come that go before all that is asked already, but for what is on its way.
        func urgentWait(for bytes: Int, now: Instant) -> Double {
            wait(for: bytes + min(self.bytes, ChunkLimits.servedBytesQueuedMax), now: now)
        }
    }

    private var wanted: [Bytes32: Wanted] = [:]
    /// Addresses in the order they came to be wanted; those settled meanwhile are skipped.
    private var queue: [Bytes32] = []
    private var queueHead = 0
    /// What readers wait for, asked of somebody or not; those settled meanwhile are skipped.
    private var urgent: [Bytes32] = []
    /// Asked for already when readers came to wait for them.
    private var raised: [Bytes32] = []
    private var lines: [ConnectionID: Line] = [:]
    /// Has come from another connection, and is to be cancelled.
    private var surplus: [(ConnectionID, Bytes32)] = []
    /// Of what is owed: how many chunks, and their bytes.
    private(set) var owed: (count: Int, bytes: UInt64) = (0, 0)

    /// Of all that is wanted.
    var count: Int { wanted.count }

    func isWanted(_ address: Bytes32) -> Bool { wanted[address] != nil }
    func isOwed(_ address: Bytes32) -> Bool { wanted[address]?.isOwed ?? false }

    mutating func want(_ chunk: WantedChunk) {
        want(chunk.reference, isList: chunk.isList, isOwed: chunk.isOwed)
    }

    mutating func want(_ reference: ChunkReference, isList: Bool, isOwed: Bool = true) {
        if let known = wanted[reference.address] {
            if isOwed, !known.isOwed { setOwed(reference.address, true) }
            return
        }
        wanted[reference.address] = Wanted(reference: reference, isList: isList, isOwed: false)
        queue.append(reference.address)
        if isOwed { setOwed(reference.address, true) }
    }

    private mutating func setOwed(_ address: Bytes32, _ isOwed: Bool) {
        guard let entry = wanted[address], entry.isOwed != isOwed else { return }
        wanted[address]?.isOwed = isOwed
        owed.count += isOwed ? 1 : -1
        let length = UInt64(entry.reference.length)
        owed.bytes = isOwed ? owed.bytes &+ length : owed.bytes &- length
    }

    /// Puts a chunk before all others, wanted before or not.
    mutating func hurry(_ reference: ChunkReference, isList: Bool) {
        want(reference, isList: isList)
        guard let entry = wanted[reference.address], !entry.isUrgent || entry.askedOf == nil else {
            return
        }
        wanted[reference.address]?.isUrgent = true
        list(reference.address)
        guard entry.askedOf == nil else { return raised.append(reference.address) }
        wanted[reference.address]?.lackedBy = []
    }

    private mutating func list(_ address: Bytes32) {
        guard let entry = wanted[address], entry.isUrgent, !entry.isListed else { return }
        wanted[address]?.isListed = true
        urgent.append(address)
    }

    /// What to ask of `connection` now: as far as its window allows, and what readers wait for.
    ///
    /// - Parameter countMax: no more than so many.
    mutating func next(for connection: ConnectionID, countMax: Int = .max, now: Instant)
        -> [ChunkReference]
    {
        var chosen: [ChunkReference] = []
        if lines[connection] == nil { lines[connection] = Line() }
        takeUrgent(for: connection, countMax, now, &chosen)
        let window = lines[connection]?.window(now: now) ?? 0
        func isOpen() -> Bool {
            guard let line = lines[connection] else { return false }
            return line.count < Limits.inFlightCount && line.bytes < window
                && chosen.count < countMax
        }
        var skipped: [Bytes32] = []
        while isOpen(), queueHead < queue.count {
            let address = queue[queueHead]
            queueHead += 1
            guard let entry = wanted[address], entry.askedOf == nil, !entry.isListed else {
                continue
            }
            if entry.lackedBy.contains(connection) {
                skipped.append(address)
            } else {
                ask(entry, of: connection, now, &chosen)
            }
        }
        if queueHead > 4096, queueHead * 2 > queue.count {
            queue.removeFirst(queueHead)
            queueHead = 0
        }
        queue.append(contentsOf: skipped)
        guard lines.count > 1, isOpen(), isComparisonDue(for: connection, now) else {
            return chosen
        }
        while isOpen(), let entry = late(for: connection, now) {
            ask(entry, of: connection, now, &chosen)
        }
        return chosen
    }

    /// Windows do not count: a reader waits.
    private mutating func takeUrgent(
        for connection: ConnectionID, _ countMax: Int, _ now: Instant,
        _ chosen: inout [ChunkReference]
    ) {
        guard !urgent.isEmpty, chosen.count < countMax else { return }
        var kept: [Bytes32] = []
        // The newest first: it is what is looked at.
        for address in urgent.reversed() {
            guard let entry = wanted[address] else { continue }
            if lines.keys.allSatisfy(entry.lackedBy.contains) {
                // Until somebody comes to have it.
                wanted[address]?.isListed = false
                queue.append(address)
                continue
            }
            kept.append(address)
            guard chosen.count < countMax, entry.askedOf != connection,
                !entry.lackedBy.contains(connection),
                isBest(connection, for: entry, now)
            else { continue }
            ask(entry, of: connection, now, &chosen)
        }
        urgent = kept.reversed()
    }

    /// Whether nobody else brings much sooner what a reader waits for.
    private func isBest(_ connection: ConnectionID, for entry: Wanted, _ now: Instant) -> Bool {
        let bytes = Int(entry.reference.length)
        guard let own = lines[connection]?.urgentWait(for: bytes, now: now) else { return false }
        if let other = entry.askedOf {
            let wait = lines[other]?.urgentWait(for: 0, now: now) ?? .infinity
            return entry.alsoAskedOf == nil && wait > 2 * own + Limits.secondsGained
        }
        return lines.allSatisfy { other, line in
            other == connection || entry.lackedBy.contains(other)
                || own <= 2 * line.urgentWait(for: bytes, now: now) + Limits.secondsGained
        }
    }

    private mutating func ask(
        _ entry: Wanted, of connection: ConnectionID, _ now: Instant,
        _ chosen: inout [ChunkReference]
    ) {
        let address = entry.reference.address
        let length = Int(entry.reference.length)
        if let other = entry.askedOf {
            wanted[address]?.alsoAskedOf = connection
            lines[other]?.sharedBytes += length
        } else {
            wanted[address]?.askedOf = connection
        }
        lines[connection]?.count += 1
        lines[connection]?.bytes += length
        lines[connection]?.asked.append(address)
        lines[connection]?.pace.asked(now: now)
        chosen.append(entry.reference)
    }

    private mutating func isComparisonDue(for connection: ConnectionID, _ now: Instant) -> Bool {
        if let last = lines[connection]?.comparedAt, now - last < Limits.balanceInterval {
            return false
        }
        lines[connection]?.comparedAt = now
        return true
    }

    /// What the slowest of the others was asked for last, if it would come much sooner from here.
    private mutating func late(for connection: ConnectionID, _ now: Instant) -> Wanted? {
        let own = lines[connection].map {
            $0.wait(for: $0.bytes + ChunkLimits.chunkSizeAverage, now: now)
        }
        let others = lines.filter { $0.key != connection && $0.value.bytes > $0.value.sharedBytes }
            .map { id, line in
                (id: id, wait: line.wait(for: line.bytes - line.sharedBytes, now: now))
            }
        // Of equals always the same: nothing may depend on a dictionary's order.
        guard let own,
            let slowest = others.max(by: { ($0.wait, $0.id.rawValue) < ($1.wait, $1.id.rawValue) }),
            slowest.wait > 2 * own + Limits.secondsGained
        else { return nil }
        var passed: [Bytes32] = []
        defer { lines[slowest.id]?.asked.append(contentsOf: passed.reversed()) }
        while let address = lines[slowest.id]?.asked.popLast() {
            guard let entry = wanted[address], entry.askedOf == slowest.id else { continue }
            passed.append(address)
            if entry.alsoAskedOf == nil, !entry.lackedBy.contains(connection) { return entry }
        }
        return nil
    }

    /// What has come from another connection than this one since it was asked for: to be cancelled.
    mutating func takeSurplus() -> [(ConnectionID, Bytes32)] {
        defer { surplus = [] }
        return surplus
    }

    /// Whether what is asked of one may be asked of others, too, before long.
    var mayShare: Bool { lines.count > 1 && lines.values.contains { $0.count > 0 } }

    func isUrgent(_ reference: ChunkReference) -> Bool {
        wanted[reference.address]?.isUrgent ?? false
    }

    /// What `connection` has been asked for already and is to send sooner.
    mutating func takeRaised(for connection: ConnectionID) -> [ChunkReference] {
        var taken: [ChunkReference] = []
        raised.removeAll { address in
            guard let entry = wanted[address], let asked = entry.askedOf else { return true }
            guard asked == connection else { return false }
            taken.append(entry.reference)
            return true
        }
        return taken
    }

    /// `connection` has come to have a chunk: if it lacked it, it may be asked again.
    mutating func has(_ address: Bytes32, _ connection: ConnectionID) {
        wanted[address]?.lackedBy.removeAll { $0 == connection }
        list(address)
    }

    /// A chunk has come, or is wanted no more.
    ///
    /// - Parameter source: whom it came from; nil if it did not come.
    /// - Returns: what was wanted under this address, now settled; nil if nobody wanted it.
    mutating func settle(_ address: Bytes32, from source: ConnectionID?, now: Instant) -> Wanted? {
        guard let entry = wanted[address] else { return nil }
        setOwed(address, false)
        wanted[address] = nil
        let length = Int(entry.reference.length)
        if entry.alsoAskedOf != nil, let first = entry.askedOf {
            lines[first]?.sharedBytes -= length
        }
        for asked in [entry.askedOf, entry.alsoAskedOf] {
            guard let asked else { continue }
            release(entry, by: asked, answer: asked == source ? length : nil, now)
            if source != nil, asked != source { surplus.append((asked, address)) }
        }
        return entry
    }

    /// `connection` does not have the chunk: others are asked, it itself after `retryAll`.
    mutating func lacked(_ address: Bytes32, by connection: ConnectionID, now: Instant) {
        guard let entry = wanted[address],
            entry.askedOf == connection || entry.alsoAskedOf == connection
        else { return }
        release(entry, by: connection, answer: nil, now)
        noLongerAsked(address, of: connection)
        if !entry.lackedBy.contains(connection) {
            wanted[address]?.lackedBy.append(connection)
        }
    }

    /// The other connection that was asked for it, or whoever is next, is to bring it.
    private mutating func noLongerAsked(_ address: Bytes32, of connection: ConnectionID) {
        guard let entry = wanted[address] else { return }
        if entry.alsoAskedOf != nil, let first = entry.askedOf {
            lines[first]?.sharedBytes -= Int(entry.reference.length)
        }
        wanted[address]?.askedOf = entry.askedOf == connection ? entry.alsoAskedOf : entry.askedOf
        wanted[address]?.alsoAskedOf = nil
        if wanted[address]?.askedOf == nil { queue.append(address) }
    }

    /// Something changed at the peers: what they lacked may be asked again.
    mutating func retryAll() {
        var waitedFor: [Bytes32] = []
        // There may be many, and peers say often what they have: nothing is copied.
        var index = wanted.startIndex
        while index < wanted.endIndex {
            if !wanted.values[index].lackedBy.isEmpty {
                wanted.values[index].lackedBy = []
                if wanted.values[index].isUrgent { waitedFor.append(wanted.keys[index]) }
            }
            wanted.formIndex(after: &index)
        }
        for address in waitedFor.sorted() { list(address) }
    }

    /// Forgets what is no longer wanted.
    mutating func keepOnly(_ chunks: [WantedChunk], now: Instant) {
        let kept = Set(chunks.map(\.reference.address))
        for address in wanted.keys.sorted() {
            if kept.contains(address) {
                setOwed(address, false)
            } else {
                _ = settle(address, from: nil, now: now)
            }
        }
        for chunk in chunks { want(chunk) }
    }

    mutating func connectionClosed(_ connection: ConnectionID) {
        lines[connection] = nil
        // Sorted: nothing may depend on a dictionary's order.
        let orphaned = wanted.filter {
            $0.value.askedOf == connection || $0.value.alsoAskedOf == connection
        }
        for address in orphaned.keys.sorted() { noLongerAsked(address, of: connection) }
    }

    /// - Parameter bytes: what came of it; nil if that says nothing of how fast the connection is.
    private mutating func release(
        _ entry: Wanted, by connection: ConnectionID, answer bytes: Int?, _ now: Instant
    ) {
        // Nobody else holds on to the list in it.
        guard var line = lines.removeValue(forKey: connection) else { return }
        line.count -= 1
        line.bytes -= Int(entry.reference.length)
        line.pace.answered(bytes: bytes, isDone: line.count == 0, now: now)
        if line.count == 0 {
            line.asked.removeAll(keepingCapacity: true)
        } else if line.asked.count > 8 * Limits.inFlightCount {
            line.asked.removeAll {
                wanted[$0]?.askedOf != connection && wanted[$0]?.alsoAskedOf != connection
            }
        }
        lines[connection] = line
    }
}
