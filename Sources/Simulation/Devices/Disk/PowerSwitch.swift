internal import Base

/// The power of one device: counts its storage operations and goes off at the one it was told to.
///
/// Once it is off every operation fails, so whatever the code does after the cut leaves no trace.
final class PowerSwitch: @unchecked Sendable {
    // One thread runs a world.
    private(set) var operations: UInt64 = 0
    private(set) var isOn = true
    /// Storage operations left before the cut; nil if none is planned.
    private var left: UInt64?
    /// Whether nothing more fits on the disk.
    var isFull = false

    /// Has the power go off within the given number of storage operations from now.
    func cut(after operations: UInt64) {
        left = operations
        if operations == 0 { isOn = false }
    }

    func restore() {
        isOn = true
        left = nil
    }

    /// To be called before an operation takes effect, and again after it if it is one that can be
    /// done while its caller never learns of it.
    func step() throws(StorageError) {
        operations += 1
        if let before = left {
            left = before > 0 ? before - 1 : 0
            if before <= 1 { isOn = false }
        }
        guard isOn else { throw .io(code: 5, action: "the power is off") }
    }

    func requireRoom() throws(StorageError) {
        if isFull { throw .full }
    }
}
