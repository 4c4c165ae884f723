internal import Base
internal import Synchronization

/// What no peer brought a moment ago.
///
/// The kernel reads ahead first; when that fails it asks again for the page that a program waits for.
/// The program is not to wait twice.
final class RecentFailures: Sendable {
    private struct State {
        var addresses: Set<Bytes32> = []
        var since = Instant.zero
    }

    private let state = Mutex(State())

    func note(_ addresses: [Bytes32]) {
        let now = Clock.now()
        state.withLock { state in
            if now - state.since > MountLimits.failureMemory
                || state.addresses.count > MountLimits.failuresMax
            {
                state.addresses = []
            }
            state.since = now
            state.addresses.formUnion(addresses)
        }
    }

    /// Whether one of these failed a moment ago.
    func contain(_ addresses: [Bytes32]) -> Bool {
        let now = Clock.now()
        return state.withLock { state in
            guard !state.addresses.isEmpty, now - state.since <= MountLimits.failureMemory else {
                return false
            }
            return !state.addresses.isDisjoint(with: addresses)
        }
    }
}
