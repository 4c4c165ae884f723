import Base
import FileTree

/// What a peer last said that it holds and sees.
struct RemoteView: Sendable {
    var clock: [(Bytes32, UInt64)] = []
    /// Of its view at that clock; nil before it has said so.
    var digest: Bytes32?
    /// The digests here and there when the difference was last told.
    var told: (own: Bytes32, remote: Bytes32)?
}

/// Equal clocks must have equal views. Where they do not, a log with two histories has reached some
/// members in one and some in the other, or a view is wrong: either is told, and nothing is made up.
extension Engine {
    /// The digest of the view at the clock that is told; nil while it holds more than that.
    var digestOfHolds: Bytes32? { open == nil && pendingFork == nil ? tree.digest : nil }

    /// Whether a peer that holds the same sees other things.
    func disagrees(with remote: RemoteView) -> Bool {
        guard let own = digestOfHolds, let digest = remote.digest, own != digest else {
            return false
        }
        func blocks(_ clock: [(Bytes32, UInt64)]) -> [Bytes32: UInt64] {
            Dictionary(clock.filter { $0.1 > 0 }) { first, _ in first }
        }
        return blocks(remote.clock) == blocks(holds)
    }

    /// Takes a new word of a peer.
    ///
    /// - Returns: whether the peer is to be told what is seen here: once for each difference, since it may
    ///   not have been able to compare when it was last told.
    mutating func compare(_ remote: inout RemoteView, named name: String) -> Bool {
        guard disagrees(with: remote), let own = digestOfHolds, let digest = remote.digest else {
            return false
        }
        if remote.told == nil { notices.append(Self.disagreement(with: name)) }
        guard remote.told.map({ $0 != (own, digest) }) ?? true else { return false }
        remote.told = (own, digest)
        return true
    }

    static func disagreement(with device: String) -> String {
        "\(device) has the same blocks and sees other things: the log of a device that was restored or"
            + " cloned has two histories, and not all members have the same one. Nothing is lost on either"
            + " side: copy what only one of them shows, then leave the share there and join it again"
    }
}
