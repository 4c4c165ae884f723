import Base
import FileTree

/// A member's device that has the same blocks and sees other things.
struct Disagreement: Sendable {
    /// What the device is called.
    let name: String
    /// Of the view it has.
    let digest: Bytes32
}

/// Equal clocks must have equal views. Where they do not, a log with two histories has reached some
/// members in one and some in the other, or a view is wrong: either is told, and nothing is made up.
extension Engine {
    /// The digest of the view at the clock that is told; nil while it holds more than that.
    var digestOfHolds: Bytes32? { open == nil && pendingFork == nil ? tree.digest : nil }

    /// Compares what a peer holds and sees with what is here.
    ///
    /// - Returns: whether something is known now that was not.
    mutating func compare(
        _ clock: [(Bytes32, UInt64)], _ digest: Bytes32, with device: Bytes32, named name: String
    ) -> Bool {
        guard let own = digestOfHolds else { return false }
        func blocks(_ clock: [(Bytes32, UInt64)]) -> [Bytes32: UInt64] {
            Dictionary(clock.filter { $0.1 > 0 }) { first, _ in first }
        }
        guard blocks(clock) == blocks(holds) else { return false }
        guard own != digest else { return disagreements.removeValue(forKey: device) != nil }
        let known = disagreements.updateValue(
            Disagreement(name: name, digest: digest), forKey: device)
        if known == nil {
            notices.append(
                "\(name) has the same blocks and sees other things. \(Self.disagreementAdvice)")
        }
        return known?.digest != digest
    }

    static let disagreementAdvice =
        "The log of a device that was restored or cloned has two histories, and not all members have the"
        + " same one. Nothing is lost on either side: copy what only one of them shows, then leave the"
        + " share there and join it again"

    /// For people.
    var disagreeing: [String] { disagreements.values.map(\.name).sorted() }
}
