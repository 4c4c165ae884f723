import Base
import Chunks

/// Which missing chunks to ask of whom: every wanted chunk is asked of one connection at a time,
/// what a reader waits for goes first, what one peer lacks is asked of the next.
///
/// A value without I/O. The wants themselves are durable in the storage; this is the working set.
struct ChunkFetcher {
    struct Wanted: Equatable {
        var reference: ChunkReference
        /// Whether the chunk holds a list of pieces (of a content tree) and not file bytes.
        var isList: Bool
        /// Whether a reader waits for it.
        fileprivate var isUrgent = false
        /// See `WantedChunk`.
        fileprivate(set) var isOwed: Bool
        fileprivate var askedOf: ConnectionID?
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
        static let inFlightBytes = 8 << 20
    }

    private var wanted: [Bytes32: Wanted] = [:]
    /// Addresses in the order they came to be wanted; those settled meanwhile are skipped.
    private var queue: [Bytes32] = []
    private var queueHead = 0
    private var urgent: [Bytes32] = []
    /// Asked for already when readers came to wait for them.
    private var raised: [Bytes32] = []
    private var inFlight: [ConnectionID: (count: Int, bytes: Int)] = [:]
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
        guard entry.askedOf == nil else { return raised.append(reference.address) }
        wanted[reference.address]?.lackedBy = []
        urgent.append(reference.address)
    }

    /// What to ask of `connection` now: as far as its window allows, and what readers wait for.
    ///
    /// - Parameter countMax: no more than so many.
    mutating func next(for connection: ConnectionID, countMax: Int = .max) -> [ChunkReference] {
        var window = inFlight[connection] ?? (0, 0)
        var chosen: [ChunkReference] = []
        func isOpen() -> Bool {
            window.count < Limits.inFlightCount && window.bytes < Limits.inFlightBytes
                && chosen.count < countMax
        }
        func take(_ address: Bytes32) -> Bool {
            guard var entry = wanted[address], entry.askedOf == nil else { return true }
            guard !entry.lackedBy.contains(connection) else { return false }
            entry.askedOf = connection
            wanted[address] = entry
            window.count += 1
            window.bytes += Int(entry.reference.length)
            chosen.append(entry.reference)
            return true
        }
        while chosen.count < countMax, let address = urgent.popLast() {
            // Not here either: it stays in the ordinary queue for the next connection.
            if !take(address) { queue.append(address) }
        }
        var skipped: [Bytes32] = []
        while isOpen(), queueHead < queue.count {
            let address = queue[queueHead]
            queueHead += 1
            if !take(address) { skipped.append(address) }
        }
        if queueHead > 4096, queueHead * 2 > queue.count {
            queue.removeFirst(queueHead)
            queueHead = 0
        }
        queue.append(contentsOf: skipped)
        inFlight[connection] = window
        return chosen
    }

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
    }

    /// - Returns: what was wanted under this address, now settled; nil if nobody wanted it.
    mutating func settle(_ address: Bytes32) -> Wanted? {
        guard let entry = wanted[address] else { return nil }
        setOwed(address, false)
        wanted[address] = nil
        release(entry)
        return entry
    }

    /// `connection` does not have the chunk: others are asked, it itself after `retryAll`.
    mutating func lacked(_ address: Bytes32, by connection: ConnectionID) {
        guard var entry = wanted[address], entry.askedOf == connection else { return }
        release(entry)
        entry.askedOf = nil
        if !entry.lackedBy.contains(connection) { entry.lackedBy.append(connection) }
        wanted[address] = entry
        queue.append(address)
    }

    /// Something changed at the peers: what they lacked may be asked again.
    mutating func retryAll() {
        for (address, entry) in wanted where !entry.lackedBy.isEmpty {
            wanted[address]?.lackedBy = []
        }
    }

    /// Forgets what is no longer wanted.
    mutating func keepOnly(_ chunks: [WantedChunk]) {
        let kept = Set(chunks.map(\.reference.address))
        for address in wanted.keys.sorted() {
            if kept.contains(address) { setOwed(address, false) } else { _ = settle(address) }
        }
        for chunk in chunks { want(chunk) }
    }

    mutating func connectionClosed(_ connection: ConnectionID) {
        inFlight[connection] = nil
        // Sorted: nothing may depend on a dictionary's order.
        let orphaned = wanted.filter { $0.value.askedOf == connection }.keys.sorted()
        for address in orphaned {
            wanted[address]?.askedOf = nil
            queue.append(address)
        }
    }

    private mutating func release(_ entry: Wanted) {
        guard let connection = entry.askedOf, var window = inFlight[connection] else { return }
        window.count -= 1
        window.bytes -= Int(entry.reference.length)
        inFlight[connection] = window
    }
}
