import Host

/// Whether a share can be mounted at a path, with what to do if not.
enum MountPointCheck {
    /// Takes a mount of ours away that a dead daemon left behind, and refuses what is no empty
    /// folder or is in use.
    ///
    /// - Parameters:
    ///   - path: resolved.
    ///   - mayHide: whether the folder may have something in it.
    static func prepare(_ path: String, mayHide: Bool = false) throws(CommandFailure) {
        let shown = EscapedText.quoted(path)
        switch try hosted({ () throws(HostError) in try KernelMount.state(of: path) }) {
        case .plain(isEmpty: true): return
        case .plain(isEmpty: false) where mayHide: return
        case .plain(isEmpty: false):
            throw CommandFailure(
                .general,
                "\(shown) is not empty and a mount would hide what is in it: "
                    + "move that away, choose an empty folder, or say --nonempty")
        case .missing:
            throw CommandFailure(.notFound, "\(shown) does not exist: make it with mkdir")
        case .notDirectory:
            throw CommandFailure(.usage, "\(shown) is not a folder: choose an empty one")
        case .mounted(KernelMount.ownType):
            throw CommandFailure(.inUse, "a share is mounted at \(shown) already: nothing to do")
        case .stale(KernelMount.ownType):
            try hosted { () throws(HostError) in try KernelMount.detach(path) }
            try prepare(path, mayHide: mayHide)
        case .mounted(let type), .stale(let type), .otherMount(let type):
            throw CommandFailure(
                .inUse,
                "\(shown) is a mount of type \(EscapedText.quoted(type)): choose another folder")
        }
    }
}
