internal import Base
internal import Glibc
internal import Share
internal import Synchronization

/// Files that have just lost their names, and to whom: a program that puts a new file there at once is
/// saving, with a backup or without.
final class Departures: Sendable {
    private struct Departure {
        let directory: NodeID
        let name: [UInt8]
        let node: NodeID
        let thread: Int32
        let time: Instant
    }

    private enum Limits {
        static let count = 64
        /// How long after it a new file of the same program takes the old one's place.
        static let time = Duration.seconds(2)
    }

    /// A ring: the oldest are overwritten.
    private struct State {
        var ring: [Departure] = []
        var next = 0
    }

    private let state = Mutex(State())

    /// A regular file has lost this name.
    func note(_ node: NodeID, _ name: [UInt8], in directory: NodeID, by caller: Caller) {
        let departure = Departure(
            directory: directory, name: name, node: node, thread: caller.thread, time: Clock.now())
        state.withLock { state in
            if state.ring.count < Limits.count {
                state.ring.append(departure)
            } else {
                state.ring[state.next] = departure
            }
            state.next = (state.next + 1) % Limits.count
        }
    }

    /// The file that had a name until the calling program took it away, a moment ago. Asked once.
    func take(_ name: [UInt8], in directory: NodeID, by caller: Caller) -> NodeID? {
        let now = Clock.now()
        let found: Departure? = state.withLock { state in
            let index = state.ring.indices.filter { index in
                // Most are of other names: looked at in place.
                state.ring[index].directory == directory && state.ring[index].name == name
                    && state.ring[index].time + Limits.time > now
            }.max { state.ring[$0].time < state.ring[$1].time }
            guard let index else { return nil }
            defer {
                state.ring.remove(at: index)
                state.next = state.ring.count
            }
            return state.ring[index]
        }
        guard let found, Self.isOneProgram(found.thread, caller.thread) else { return nil }
        return found.node
    }

    /// Whether two threads are of one process.
    private static func isOneProgram(_ first: Int32, _ second: Int32) -> Bool {
        if first == second { return true }
        return unsafe access("/proc/\(second)/task/\(first)", F_OK) == 0
    }
}
