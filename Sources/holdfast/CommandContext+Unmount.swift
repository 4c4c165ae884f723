import Base
import Host

extension CommandContext {
    /// Asks the daemon to stop and waits until its mount and its process are gone; takes a mount
    /// away whose daemon died.
    func unmount() throws(CommandFailure) {
        let share = try share()
        let process: Int32
        do throws(CommandFailure) {
            let request = ControlRequest(.unmount)
            process = try ask(share, request, timeout: Self.stopTimeout).process
        } catch {
            guard error.code == .notRunning else { throw error }
            return try removeStaleMount(of: share)
        }
        let shown = EscapedText.quoted(share.mountPoint)
        let deadline = monotonicNow() + Self.stopTimeout
        let isGone = try hosted { () throws(HostError) in
            try KernelMount.waitUntilGone(share.mountPoint, deadline: deadline)
        }
        guard isGone else {
            throw CommandFailure(
                .inUse,
                "\(shown) is still mounted: end the programs that use it (fuser -vm shows them), "
                    + "then unmount again")
        }
        guard waitForEnd(of: process, deadline: deadline) else {
            throw CommandFailure(
                .temporary,
                "\(shown) is unmounted, but its daemon (process \(process)) is still writing: "
                    + "see \(share.logFile)")
        }
    }

    private func removeStaleMount(of share: KnownShare) throws(CommandFailure) {
        let shown = EscapedText.quoted(share.mountPoint)
        let entry = try hosted { () throws(HostError) in
            try MountTable.current().entry(at: share.mountPoint)
        }
        guard entry?.type == KernelMount.ownType else {
            throw CommandFailure(.notRunning, "no share is mounted at \(shown): nothing to do")
        }
        try hosted { () throws(HostError) in try KernelMount.detach(share.mountPoint) }
        console.writeError(
            "holdfast: the daemon of \(shown) was gone; the mount it left is taken away\n")
    }
}
