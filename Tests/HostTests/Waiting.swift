import Base
import Glibc
import Host

/// Waits until a condition holds.
///
/// - Returns: whether it did within `limit`.
func eventually(within limit: Duration = .seconds(10), _ condition: () -> Bool) -> Bool {
    let end = monotonicNow() + limit
    while !condition() {
        if monotonicNow() > end { return condition() }
        usleep(1000)
    }
    return true
}
