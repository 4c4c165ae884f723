internal import Base
internal import Wire

/// A request of ours that has not been answered yet.
struct PendingRequest: Sendable {
    /// Who waits for the answer.
    enum Purpose: Equatable, Sendable {
        case caller
        case query(QueryID)
        case clear(QueryID)
        case commit(QueryID)
        /// Is this node of the table alive?
        case check
        /// As `check`, because somebody said that it is not.
        case downCheck
        /// As `check`; if not, the newcomer takes its place.
        case swap(newcomer: PackedEndpoint)
        /// Does the node that claims this address receive there?
        case newcomer
        /// The first try to be reached on the server socket.
        case quickProbe
        case firewallProbe
        /// Nobody.
        case notice
    }

    let id: RequestID
    let destination: PackedEndpoint
    let socket: SocketID
    /// Repeated as it is.
    let packet: [UInt8]
    let purpose: Purpose
    let sendsMax: Int
    let timeout: Duration
    /// Goes past the congestion window.
    let isForced: Bool

    var sends = 0
    var sentAt = Instant.zero
    /// When to send again or to give up; meaningless while waiting.
    var deadline = Instant.distantFuture
    /// In the queue for room in the window.
    var isWaiting = false
    /// Timed out once; its query knows.
    var isSlow = false
}

/// Our requests under way, by transaction number.
struct RequestTable: Sendable {
    private(set) var entries: [UInt16: PendingRequest] = [:]
    /// Transactions that wait for room in the window; those answered meanwhile are skipped.
    private var queue: [UInt16] = []
    private var queueStart = 0
    /// No later than the first deadline.
    private(set) var earliestDeadline = Instant.distantFuture

    var count: Int { entries.count }
    var isQueueEmpty: Bool { queueStart == queue.count }

    subscript(transaction: UInt16) -> PendingRequest? { entries[transaction] }

    /// A number that no request under way has.
    func freeTransaction(using random: inout DHTRandom) -> UInt16? {
        guard entries.count < DHTLimits.requestsMax else { return nil }
        while true {
            let number = UInt16(truncatingIfNeeded: random.next())
            if entries[number] == nil { return number }
        }
    }

    mutating func insert(_ request: PendingRequest, transaction: UInt16) {
        entries[transaction] = request
    }

    mutating func sent(_ transaction: UInt16, now: Instant) {
        guard var entry = entries[transaction] else { return }
        entry.sends += 1
        entry.sentAt = now
        entry.deadline = now + entry.timeout
        entry.isWaiting = false
        earliestDeadline = min(earliestDeadline, entry.deadline)
        entries[transaction] = entry
    }

    mutating func markSlow(_ transaction: UInt16) { entries[transaction]?.isSlow = true }

    mutating func wait(_ transaction: UInt16) {
        entries[transaction]?.isWaiting = true
        entries[transaction]?.deadline = .distantFuture
        queue.append(transaction)
    }

    /// The request that has waited longest.
    mutating func nextWaiting() -> UInt16? {
        while queueStart < queue.count {
            let transaction = queue[queueStart]
            queueStart += 1
            if queueStart == queue.count {
                queue.removeAll()
                queueStart = 0
            }
            if entries[transaction]?.isWaiting == true { return transaction }
        }
        return nil
    }

    mutating func remove(_ transaction: UInt16) -> PendingRequest? {
        entries.removeValue(forKey: transaction)
    }

    /// Takes out what `matches`, oldest first.
    mutating func removeAll(
        where matches: (PendingRequest) -> Bool
    ) -> [PendingRequest] {
        let found = entries.filter { matches($0.value) }.sorted { $0.value.id < $1.value.id }
        for (transaction, _) in found { entries[transaction] = nil }
        return found.map(\.value)
    }

    /// The transactions whose time is up, oldest request first.
    mutating func due(_ now: Instant) -> [UInt16] {
        guard earliestDeadline <= now else { return [] }
        var due: [(RequestID, UInt16)] = []
        earliestDeadline = .distantFuture
        for (transaction, entry) in entries {
            if entry.deadline <= now {
                due.append((entry.id, transaction))
            } else {
                earliestDeadline = min(earliestDeadline, entry.deadline)
            }
        }
        return due.sorted { $0.0 < $1.0 }.map(\.1)
    }
}
