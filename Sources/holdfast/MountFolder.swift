import Base
import FuseMount
import Host
import Share
import Store
import Synchronization

/// What `.holdfast` in a mount shows:
///
///     status       how the share is doing, as `holdfast status` tells it
///     status.json  the same for programs
///     peers        the devices it is connected to, as `holdfast peers` tells them
///     conflicts/   a folder for each conflict: `ConflictFolder`
///     at/TIME/     the share as it was: `PastFolder`
///
/// Everybody who may enter the mount may read the first three; the others hold bytes of files, so only
/// whoever mounted the share may.
final class MountFolder: VirtualDirectory {
    private let status = Mutex<(@Sendable () -> ShareStatus?)?>(nil)
    private let volume: ShareVolume
    private let past: PastFolder

    init(_ volume: ShareVolume, scratchIn folder: ShareFolder) {
        self.volume = volume
        past = PastFolder(volume, scratchIn: folder)
    }

    /// From now on there is something to tell.
    ///
    /// - Parameter status: nil once there is nothing any more.
    func begin(telling status: @escaping @Sendable () -> ShareStatus?) {
        self.status.withLock { $0 = status }
    }

    /// The mount has ended.
    func end() { past.end() }

    private var root: FixedFolder {
        FixedFolder([
            (Array("at".utf8), VirtualNode(.directory(past), mode: 0o500)),
            (Array("conflicts".utf8), VirtualNode(.directory(ConflictFolder(volume)), mode: 0o500)),
            (
                Array("peers".utf8),
                text { Array(StatusText.table(of: $0.peers, members: $0.members).utf8) }
            ),
            (
                Array("status".utf8),
                text { Array(StatusText.summary(of: StatusReport(running: $0)).utf8) }
            ),
            (
                Array("status.json".utf8),
                text { status in
                    let report = StatusReport(running: status)
                    return ((try? JSONText.encode(report)) ?? []) + [UInt8(ascii: "\n")]
                }
            ),
        ])
    }

    private func text(_ words: @escaping @Sendable (ShareStatus) -> [UInt8]) -> VirtualNode {
        VirtualNode(
            .text { [self] () throws(VolumeError) in
                guard let ask = status.withLock({ $0 }), let status = ask() else { throw .stale }
                return words(status)
            })
    }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        try root.node(named: name)
    }

    func names() throws(VolumeError) -> [VirtualName] { try root.names() }
}
