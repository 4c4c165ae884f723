package import Base
import Crypto

/// One side of the channel `holdfast/chunks` on one connection: asks for chunks, answers the peer.
///
/// A value without I/O of its own: the caller carries the effects out, and calls `serve` when a
/// message has been received and when the connection has sent what was queued. Every chunk handed up
/// has the address that was wanted. After a violation the exchange says and does nothing more.
package struct ChunkExchange {
    package enum Effect: Equatable, Sendable {
        case send(type: Int, payload: [UInt8])
        /// A wanted chunk, its address checked: `ChunkCipher.open` it, then store it.
        case received(Bytes32, [UInt8])
        /// The peer does not have a wanted chunk: ask another.
        case missing(Bytes32)
        /// The peer has these, wanted or not.
        case has([Bytes32])
        /// A chunk that the peer wants cannot be read here; the peer has been told it is missing.
        case unreadable(Bytes32, StorageError)
        /// The peer broke the rules or went silent: drop it. What was wanted is still in
        /// `outstanding`.
        case violation(String)
    }

    package static let protocolName = "holdfast/chunks"

    private enum Interest {
        case whole
        /// Asked and cancelled: the answer is still due, and is of no interest.
        case cancelled
        /// Wanted again after that: if the answer is `missing`, it is that of the cancel.
        case revived
    }

    private struct Wanted {
        let address: Bytes32
        /// Of the ciphertext, where it is known.
        let size: Int?
        var priority: ChunkPriority
        var interest = Interest.whole

        var sizeExpected: Int { size ?? ChunkLimits.chunkSizeAverage }
    }

    private var server: ChunkServer
    private var hasFailed = false
    /// Asked of the peer and not answered, by number.
    private var inFlight: [UInt64: Wanted] = [:]
    private var numbers: [Bytes32: UInt64] = [:]
    private var nextWant: UInt64 = 0
    private var bytesInFlight = 0
    /// Not asked yet, for each priority in order; those whose priority has changed meanwhile, or that
    /// nobody wants any more, are not in `waitingPriorities` under it.
    private var waiting = [[Wanted]](repeating: [], count: ChunkPriority.allCases.count)
    private var waitingHeads = [Int](repeating: 0, count: ChunkPriority.allCases.count)
    private var waitingPriorities: [Bytes32: ChunkPriority] = [:]
    private var answers: UInt64 = 0
    private var answersSeen: UInt64 = 0
    private var silentSince: Instant?

    /// Bytes of chunks received and handed up.
    package private(set) var bytesReceived: UInt64 = 0
    /// Bytes of chunks sent, or about to be.
    package var bytesServed: UInt64 { server.bytesServed }

    /// - Parameter storage: what the peer is served from.
    package init(storage: any ChunkStorage) { server = ChunkServer(storage) }

    // MARK: Asking

    /// How many chunks are wanted of the peer and not answered.
    package var wantedCount: Int {
        inFlight.values.count(where: { $0.interest != .cancelled }) + waitingPriorities.count
    }

    /// Everything wanted and not answered: what another peer must be asked for if this one goes.
    package var outstanding: [Bytes32] {
        let asked = inFlight.filter { $0.value.interest != .cancelled }
        return asked.sorted { $0.key < $1.key }.map(\.value.address)
            + waitingPriorities.sorted { ($0.value, $0.key) < ($1.value, $1.key) }.map(\.key)
    }

    /// Asks for chunks, or has those asked for already come sooner. What exceeds the limits waits its
    /// turn here.
    package mutating func want(
        _ references: [ChunkReference], priority: ChunkPriority = .bulk,
        into effects: inout [Effect]
    ) {
        for reference in references {
            want(
                reference.address, size: reference.ciphertextLength, priority: priority, &effects)
        }
        ask(&effects)
    }

    /// Asks for chunks of which only the address is known.
    package mutating func want(
        addresses: [Bytes32], priority: ChunkPriority = .bulk, into effects: inout [Effect]
    ) {
        for address in addresses { want(address, size: nil, priority: priority, &effects) }
        ask(&effects)
    }

    /// Wants no longer what was wanted; nothing more will be heard of it.
    package mutating func cancel(_ addresses: [Bytes32], into effects: inout [Effect]) {
        var cancelled: [UInt64] = []
        for address in addresses {
            waitingPriorities[address] = nil
            guard let number = numbers[address], let interest = inFlight[number]?.interest,
                interest != .cancelled
            else { continue }
            inFlight[number]?.interest = .cancelled
            if interest == .whole { cancelled.append(number) }
        }
        if !cancelled.isEmpty { send(.cancel(cancelled), &effects) }
    }

    private mutating func want(
        _ address: Bytes32, size: Int?, priority: ChunkPriority, _ effects: inout [Effect]
    ) {
        if let number = numbers[address], let asked = inFlight[number] {
            if asked.interest == .cancelled { inFlight[number]?.interest = .revived }
            guard priority < asked.priority else { return }
            inFlight[number]?.priority = priority
            if asked.interest == .whole { send(.raise(priority, [number]), &effects) }
            return
        }
        if let present = waitingPriorities[address], present <= priority { return }
        wait(Wanted(address: address, size: size, priority: priority))
    }

    private mutating func wait(_ wanted: Wanted) {
        waitingPriorities[wanted.address] = wanted.priority
        waiting[Int(wanted.priority.rawValue)].append(wanted)
    }

    /// Asks for what waits, as far as the limits go: one message for each priority.
    private mutating func ask(_ effects: inout [Effect]) {
        guard !hasFailed, !waitingPriorities.isEmpty else { return }
        for priority in ChunkPriority.allCases {
            let first = nextWant
            var addresses: [Bytes32] = []
            while isWindowOpen(for: priority), let wanted = takeWaiting(priority) {
                inFlight[nextWant] = wanted
                numbers[wanted.address] = nextWant
                bytesInFlight += wanted.sizeExpected
                nextWant += 1
                addresses.append(wanted.address)
            }
            if !addresses.isEmpty {
                send(.want(priority, first: first, addresses), &effects)
            }
        }
    }

    /// The last places are for what is more pressing, and a reader waits for no bytes.
    private func isWindowOpen(for priority: ChunkPriority) -> Bool {
        let reserved = Int(priority.rawValue) * ChunkLimits.wantsReserved
        return inFlight.count < ChunkLimits.wantsInFlightMax - reserved
            && (priority == .reader || bytesInFlight < ChunkLimits.wantedBytesInFlightMax)
    }

    private mutating func takeWaiting(_ priority: ChunkPriority) -> Wanted? {
        let level = Int(priority.rawValue)
        while waitingHeads[level] < waiting[level].count {
            let wanted = waiting[level][waitingHeads[level]]
            waitingHeads[level] += 1
            guard waitingPriorities[wanted.address] == priority else { continue }
            waitingPriorities[wanted.address] = nil
            if waitingHeads[level] > 1024, waitingHeads[level] * 2 > waiting[level].count {
                waiting[level].removeFirst(waitingHeads[level])
                waitingHeads[level] = 0
            }
            return wanted
        }
        waiting[level].removeAll(keepingCapacity: true)
        waitingHeads[level] = 0
        return nil
    }

    // MARK: Answering

    /// Tells the peer of chunks that have come to be here.
    package mutating func announce(_ addresses: [Bytes32], into effects: inout [Effect]) {
        var rest = addresses[...]
        while !rest.isEmpty {
            send(.have(Array(rest.prefix(ChunkLimits.announcedMax))), &effects)
            rest = rest.dropFirst(ChunkLimits.announcedMax)
        }
    }

    /// A chunk has been stored: a peer that asked for it in vain is told.
    package mutating func stored(_ address: Bytes32, into effects: inout [Effect]) {
        guard !hasFailed else { return }
        server.stored(address, into: &effects)
    }

    /// Whether the peer waits for chunks: `serve` has something to do.
    package var hasWork: Bool { !hasFailed && server.hasWork }

    /// Reads chunks for the peer and sends them, until `ChunkLimits.servedBytesQueuedMax` wait.
    ///
    /// - Parameter queuedBytes: what waits on the connection now.
    package mutating func serve(queuedBytes: Int, into effects: inout [Effect]) {
        guard !hasFailed else { return }
        server.serve(queuedBytes: queuedBytes, into: &effects)
    }

    // MARK: Hearing

    /// Takes one message of the channel.
    package mutating func receive(
        type: Int, payload: Span<UInt8>, into effects: inout [Effect]
    ) {
        guard !hasFailed else { return }
        let message: ChunkMessage?
        do {
            message = try ChunkMessage.decode(type: type, payload)
        } catch {
            return fail("message \(type): \(error)", &effects)
        }
        switch message {
        case .want(let priority, let first, let addresses):
            fail(server.want(priority, first: first, addresses), &effects)
        case .raise(let priority, let wants):
            fail(server.raise(priority, wants), &effects)
        case .cancel(let wants):
            fail(server.cancel(wants, into: &effects), &effects)
        case .have(let addresses):
            effects.append(.has(addresses))
        case .missing(let wants):
            for want in wants where !hasFailed { missed(want, &effects) }
            ask(&effects)
        case .chunk(let want, let ciphertext):
            arrived(want, ciphertext, &effects)
            ask(&effects)
        case nil:
            return
        }
    }

    /// Looks after the peer's silence; to be called every few seconds.
    package mutating func tick(now: Instant, into effects: inout [Effect]) {
        guard !hasFailed else { return }
        guard !inFlight.isEmpty else {
            silentSince = nil
            return
        }
        guard let since = silentSince, answers == answersSeen else {
            silentSince = now
            answersSeen = answers
            return
        }
        guard now - since >= ChunkLimits.answerTimeMax else { return }
        fail("\(inFlight.count) wants without an answer for \(now - since)", &effects)
    }

    private mutating func arrived(
        _ want: UInt64, _ ciphertext: [UInt8], _ effects: inout [Effect]
    ) {
        guard let wanted = settle(want) else {
            return fail("a chunk that was not wanted", &effects)
        }
        guard wanted.interest != .cancelled else { return }
        guard wanted.size == nil || wanted.size == ciphertext.count,
            Blake2b.hash256(ciphertext.span) == wanted.address
        else {
            // It is outstanding still, for others to be asked.
            wait(wanted)
            return fail("bytes that are not those of chunk \(wanted.address)", &effects)
        }
        bytesReceived += UInt64(ciphertext.count)
        effects.append(.received(wanted.address, ciphertext))
    }

    private mutating func missed(_ want: UInt64, _ effects: inout [Effect]) {
        guard let wanted = settle(want) else {
            return fail("a missing that was not wanted", &effects)
        }
        switch wanted.interest {
        case .whole: effects.append(.missing(wanted.address))
        case .cancelled: return
        case .revived:
            wait(Wanted(address: wanted.address, size: wanted.size, priority: wanted.priority))
        }
    }

    private mutating func settle(_ want: UInt64) -> Wanted? {
        guard let wanted = inFlight.removeValue(forKey: want) else { return nil }
        answers += 1
        numbers[wanted.address] = nil
        bytesInFlight -= wanted.sizeExpected
        return wanted
    }

    private mutating func send(_ message: ChunkMessage, _ effects: inout [Effect]) {
        guard !hasFailed else { return }
        effects.append(.send(message))
    }

    private mutating func fail(_ reason: String?, _ effects: inout [Effect]) {
        guard let reason else { return }
        hasFailed = true
        effects.append(.violation(reason))
    }
}

extension ChunkExchange.Effect {
    static func send(_ message: ChunkMessage) -> Self {
        .send(type: message.type, payload: message.encode())
    }
}
