import Base

/// The answering half of a chunk channel: what the peer wants, and what it has been given.
struct ChunkServer {
    private struct Asked {
        let want: UInt64
        let address: Bytes32
        var priority: ChunkPriority
    }

    private let storage: any ChunkStorage
    /// In the order asked; at most `ChunkLimits.wantsInFlightMax`.
    private var asked: [Asked] = []
    /// The number that the peer's next want must have.
    private var nextWant: UInt64 = 0
    /// What was asked for in vain, the oldest first; at most `ChunkLimits.missedMax`.
    private var missed: [Bytes32] = []
    private var isMissed: Set<Bytes32> = []
    private var plaintext: [UInt8] = []
    private var ciphertext: [UInt8] = []
    private(set) var bytesServed: UInt64 = 0

    init(_ storage: any ChunkStorage) { self.storage = storage }

    var hasWork: Bool { !asked.isEmpty }

    /// - Returns: what is wrong with the message; nil if nothing is.
    mutating func want(_ priority: ChunkPriority, first: UInt64, _ addresses: [Bytes32]) -> String?
    {
        guard first == nextWant else { return "want \(first) where \(nextWant) was due" }
        guard asked.count + addresses.count <= ChunkLimits.wantsInFlightMax else {
            return "more than \(ChunkLimits.wantsInFlightMax) unanswered wants"
        }
        for address in addresses {
            asked.append(Asked(want: nextWant, address: address, priority: priority))
            nextWant += 1
        }
        return nil
    }

    /// - Returns: what is wrong with the message; nil if nothing is.
    mutating func raise(_ priority: ChunkPriority, _ wants: [UInt64]) -> String? {
        guard wants.allSatisfy({ $0 < nextWant }) else { return "a raise of what was not wanted" }
        for index in asked.indices where wants.contains(asked[index].want) {
            asked[index].priority = min(asked[index].priority, priority)
        }
        return nil
    }

    /// What was not answered yet is answered as missing.
    ///
    /// - Returns: what is wrong with the message; nil if nothing is.
    mutating func cancel(_ wants: [UInt64], into effects: inout [ChunkExchange.Effect]) -> String? {
        guard wants.allSatisfy({ $0 < nextWant }) else { return "a cancel of what was not wanted" }
        let dropped = asked.filter { wants.contains($0.want) }.map(\.want)
        guard !dropped.isEmpty else { return nil }
        asked.removeAll { wants.contains($0.want) }
        effects.append(.send(.missing(dropped)))
        return nil
    }

    /// Answers wants, the most pressing first, until enough bytes wait on the connection.
    mutating func serve(queuedBytes: Int, into effects: inout [ChunkExchange.Effect]) {
        var queued = queuedBytes
        var missing: [UInt64] = []
        while queued < ChunkLimits.servedBytesQueuedMax, let next = takeNext() {
            if let payload = read(next, into: &effects) {
                queued += payload.count
                bytesServed += UInt64(payload.count)
                effects.append(.send(type: 3, payload: payload))
            } else {
                missing.append(next.want)
                remember(next.address)
            }
        }
        if !missing.isEmpty { effects.append(.send(.missing(missing))) }
    }

    /// A chunk has come to be here: the peer is told if it asked before.
    mutating func stored(_ address: Bytes32, into effects: inout [ChunkExchange.Effect]) {
        guard isMissed.remove(address) != nil else { return }
        missed.removeAll { $0 == address }
        effects.append(.send(.have([address])))
    }

    private mutating func takeNext() -> Asked? {
        guard let index = asked.indices.min(by: { asked[$0].priority < asked[$1].priority }) else {
            return nil
        }
        return asked.remove(at: index)
    }

    /// - Returns: the payload that answers; nil if the chunk is not here, or no longer what it was.
    private mutating func read(_ next: Asked, into effects: inout [ChunkExchange.Effect])
        -> [UInt8]?
    {
        do {
            guard
                try storage.readCiphertext(
                    of: next.address, into: &ciphertext, scratch: &plaintext)
            else { return nil }
            return ChunkMessage.encodeChunk(next.want, ciphertext.span)
        } catch {
            effects.append(.unreadable(next.address, error))
            return nil
        }
    }

    private mutating func remember(_ address: Bytes32) {
        guard isMissed.insert(address).inserted else { return }
        missed.append(address)
        if missed.count > ChunkLimits.missedMax { isMissed.remove(missed.removeFirst()) }
    }
}
