internal import Share
internal import Synchronization

/// Which symlinks a contained mount lets programs follow: those that cannot lead out of the share.
///
/// Where the kernel stands when it follows a link is the link's own directory. From there a target
/// may climb at most to the root, and only at its beginning: after a name, `..` would climb from
/// wherever a link of that name leads.
final class SymlinkPolicy: Sendable {
    /// The directory through which the kernel last found each link.
    private let parents = Mutex<[NodeID: NodeID]>([:])

    func note(_ link: NodeID, in directory: NodeID) {
        parents.withLock { $0[link] = directory }
    }

    func forget(_ link: NodeID) {
        parents.withLock { $0[link] = nil }
    }

    /// - Parameter links: how many names the link has: with several, nobody knows where it stands.
    func isContained(_ target: [UInt8], of link: NodeID, links: UInt32, in volume: any Volume)
        throws(VolumeError) -> Bool
    {
        guard let climbs = Self.climbs(target) else { return false }
        if climbs == 0 { return true }
        guard links == 1, var directory = parents.withLock({ $0[link] }) else { return false }
        for _ in 0..<climbs {
            if directory == .root { return false }
            directory = try volume.parent(of: directory)
        }
        return true
    }

    /// How many directories a target climbs at its beginning; nil if it is absolute or climbs later.
    static func climbs(_ target: [UInt8]) -> Int? {
        guard target.first != 47 else { return nil }
        var climbs = 0
        var hasName = false
        for component in target.split(separator: 47) where component != [46] {
            if component != [46, 46] {
                hasName = true
            } else if hasName {
                return nil
            } else {
                climbs += 1
            }
        }
        return climbs
    }
}
