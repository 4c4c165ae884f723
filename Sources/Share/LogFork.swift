package import Base
import Wire

/// A log that its writer, or two devices with the writer's key, wrote two histories of: a backup was
/// restored and written to before it met its peers, or a disk was cloned.
package struct LogFork: Equatable, Sendable {
    package enum State: UInt8, Sendable {
        /// Of another device: this device keeps the history it had.
        case noted = 0
        /// Of the own log: the other history is being fetched.
        case fetching = 1
        /// Of the own log: what only this device had is in its new log.
        case settled = 2
    }

    package var log: Bytes32
    /// Blocks that both histories have, at least.
    package var common: UInt64
    /// Milliseconds since 1970.
    package var found: UInt64
    package var state: State
    /// The slot that the other history of the own log is fetched into.
    package var branch: WriterSlot
    /// The other history's signed proof: a Data message of Hypercore's protocol.
    package var evidence: [UInt8]

    package init(
        log: Bytes32, common: UInt64, found: UInt64, state: State, branch: WriterSlot,
        evidence: [UInt8]
    ) {
        self.log = log
        self.common = common
        self.found = found
        self.state = state
        self.branch = branch
        self.evidence = evidence
    }

    enum Limits {
        /// Forks remembered; a share has one in its life, if any.
        static let count = 64
        /// Evidence larger than this is not kept.
        static let evidenceSize = 64 * 1024
    }

    /// What is kept of all forks:
    ///
    ///     format 1 byte, count, then each: log (32), common, found, state (1), branch (2), evidence buffer
    static func encode(_ forks: [LogFork]) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(1)
        writer.writeUInt(forks.count)
        for fork in forks {
            writer.writeBytes32(fork.log)
            writer.writeUInt(fork.common)
            writer.writeUInt(fork.found)
            writer.writeUInt8(fork.state.rawValue)
            writer.writeUInt16(fork.branch.rawValue)
            writer.writeBuffer(fork.evidence)
        }
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]?) throws(StorageError) -> [LogFork] {
        guard let bytes else { return [] }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            guard try reader.readUInt8() == 1 else { throw .invalid("format") }
            let count = try reader.readCount(max: Limits.count, minimumElementSize: 38)
            var forks: [LogFork] = []
            for _ in 0..<count {
                let log = try reader.readBytes32()
                let (common, found) = (try reader.readUInt(), try reader.readUInt())
                guard let state = State(rawValue: try reader.readUInt8()) else {
                    throw .invalid("state")
                }
                let slot = try reader.readUInt16()
                guard slot <= WriterSlot.max else { throw .invalid("slot") }
                forks.append(
                    LogFork(
                        log: log, common: common, found: found, state: state,
                        branch: WriterSlot(rawValue: slot),
                        evidence: try reader.readBuffer(max: Limits.evidenceSize)))
            }
            return forks
        } catch {
            throw .corrupt(what: "the list of forked logs: \(error)")
        }
    }
}
