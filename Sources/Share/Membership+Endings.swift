package import Base
import FileTree

/// An operation by which a log ends. Whether it counts is another question.
struct Ending: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        /// Only so many blocks count.
        case revoke(UInt64)
        case retire
    }

    var kind: Kind
    /// Whose log: a device has one log for each key pair.
    var device: Bytes32
    var order: OperationOrder
    /// What its block had seen, by log.
    var seen: [PublishedCheckpoint.Position] = []

    var author: Bytes32 { order.writer }
    var isRevocation: Bool { if case .revoke = kind { true } else { false } }

    func seen(of log: Bytes32) -> UInt64 {
        if log == author { return order.block }
        // By key.
        var (low, high) = (0, seen.count)
        while low < high {
            let middle = (low + high) / 2
            if seen[middle].log < log { low = middle + 1 } else { high = middle }
        }
        return low < seen.count && seen[low].log == log ? seen[low].blocks : 0
    }

    func hasSeen(_ other: OperationOrder) -> Bool {
        if other.writer == author, other.block == order.block { return other.index < order.index }
        return seen(of: other.writer) > other.block
    }
}

/// How a log ended.
package struct LogEnd: Equatable, Sendable {
    /// The raw value is on the wire.
    package enum Kind: UInt8, Sendable {
        /// An owner cut it.
        case revoked = 1
        /// Its device gave it up.
        case left = 2
        /// An owner says that nothing more is to be expected of it.
        case retired = 3
    }

    package var kind: Kind
    /// How many blocks of it count, for everybody; nil if nothing but what members have taken of it says so.
    package var length: UInt64?
    /// Where that is written.
    var operations: [OperationOrder]
}

/// Which logs have ended, and where. See <doc:Endings>.
extension Membership {
    /// Whether any log has ended.
    package var hasEndings: Bool { !ends.isEmpty }

    /// Whether anybody ever said that one has.
    var hasKnownEndings: Bool { !endings.isEmpty }

    package func end(of log: Bytes32) -> LogEnd? { ends[log] }

    /// How many blocks of a log count.
    package func length(of log: Bytes32) -> UInt64 {
        guard members[log] != nil else { return 0 }
        return ends[log]?.length ?? .max
    }

    func counts(_ block: UInt64, of log: Bytes32) -> Bool { block < length(of: log) }

    /// Whether a log was retired by one who had not seen this block of it, so that it counts only if members have it.
    func isRetiredUnseen(_ block: UInt64, of log: Bytes32) -> Bool {
        guard let end = ends[log], end.kind == .retired else { return false }
        return endings.contains {
            end.operations.contains($0.order) && $0.seen(of: log) <= block
        }
    }

    /// The blocks that end logs.
    var endingBlocks: [PublishedCheckpoint.Position] {
        var found: [PublishedCheckpoint.Position] = []
        for log in ends.keys.sorted() {
            for order in ends[log]?.operations ?? [] {
                let position = PublishedCheckpoint.Position(
                    log: order.writer, blocks: order.block + 1)
                if !found.contains(position) { found.append(position) }
            }
        }
        return found
    }

    // MARK: Taking one in

    /// - Returns: whether it counts.
    mutating func end(_ ending: Ending, seen: [Bytes32: UInt64]) -> Bool {
        var ending = ending
        ending.seen = seen.filter { $0.value > 0 && $0.key != ending.author }
            .sorted { $0.key < $1.key }.map { .init(log: $0.key, blocks: $0.value) }
        let place = endings.firstIndex { !($0.order < ending.order) } ?? endings.count
        let isKnown = place < endings.count && endings[place].order == ending.order
        if !isKnown {
            let others = endings.filter { $0.author == ending.author }.count
            guard others < Limits.endingsOfOne, endings.count < Limits.endings else { return false }
            endings.insert(ending, at: place)
            evaluate()
        }
        return ends.values.contains { $0.operations.contains(ending.order) }
    }

    // MARK: What follows

    /// Works out from all operations who is a member and which logs have ended.
    mutating func evaluate() {
        var decision = CutDecision(self)
        let accepted = decision.accept()
        let standing = decision.wholeStanding()
        members = standing.members
        ends = [:]
        for ending in accepted {
            for log in decision.logs(of: ending.device) {
                guard let cut = standing.cuts[log], members[log] != nil else { continue }
                let kind: LogEnd.Kind = ending.isRevocation ? .revoked : .left
                var end = ends[log] ?? LogEnd(kind: kind, length: cut, operations: [])
                if kind == .revoked { end.kind = .revoked }
                end.operations.append(ending.order)
                ends[log] = end
            }
        }
        var retirements: [Bytes32: [Ending]] = [:]
        for ending in endings where decision.isRetirement(ending, standing) {
            retirements[ending.author, default: []].append(ending)
        }
        for ending in endings where decision.isRetirement(ending, standing) {
            let logs = decision.logs(of: ending.device)
            let isOutranked = logs.contains { log in
                retirements[log, default: []].contains {
                    decision.outranks($0, ending, standing)
                }
            }
            guard !isOutranked else { continue }
            for log in logs where members[log] != nil && log != ending.author {
                guard ends[log]?.length == nil else { continue }
                var end = ends[log] ?? LogEnd(kind: .retired, length: nil, operations: [])
                end.operations.append(ending.order)
                ends[log] = end
            }
        }
    }
}
