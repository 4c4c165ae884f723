internal import Base
internal import CFuse3
internal import Glibc
internal import Share
internal import Synchronization

/// Makes the changes of other devices through our own mount, so that whoever watches it (inotify)
/// hears of them, and so that the kernel takes up sizes and times that it keeps by itself.
///
/// Its calls come from one thread, which answers no request and holds no lock of ours; the threads that
/// do answer know it by its number: see `Replay`. Objects are found by path from the mount's root, which
/// is open for one step only, and never through what is mounted over a part of it.
final class Replayer: Sendable {
    private let place: MountedPlace
    private let volume: any Volume
    private let table: InodeTable
    private let replay: Replay
    private let kernel: KernelCache
    /// Where a directory was that shows nowhere now: what was in it is to be told of first.
    private let departed: @Sendable (NodeID) -> NamePlace?

    init(
        place: MountedPlace, volume: any Volume, table: InodeTable, replay: Replay,
        kernel: KernelCache, departed: @escaping @Sendable (NodeID) -> NamePlace?
    ) {
        self.place = place
        self.volume = volume
        self.table = table
        self.replay = replay
        self.kernel = kernel
        self.departed = departed
    }

    /// How a step ended.
    enum Outcome {
        case done
        /// The kernel must be told to forget instead.
        case failed
        /// To be tried again later: a program is being run from the file, or writes to it.
        case busy
    }

    func perform(_ step: ReplayStep) -> Outcome {
        switch step {
        case .create(let shown, let place): create(shown, place)
        case .remove(let shown, let place): remove(shown, place)
        case .move(let shown, let from, let to, let over):
            move(
                from, to, isDirectory: shown.kind == .directory, flags: 0,
                .move(shown, from: from, to: to, over: over))
        case .exchange(let one, let from, let other, let to):
            move(
                from, to, isDirectory: one.kind == .directory || other.kind == .directory,
                flags: UInt32(HOLDFAST_RENAME_EXCHANGE), .exchange(one, from, other, to))
        case .content(let node): content(node)
        case .attributes(let node): attributes(node)
        case .forget, .forgetAttributes: .failed
        }
    }

    // MARK: Names

    private func create(_ shown: ViewChange.Shown, _ place: NamePlace) -> Outcome {
        guard let directory = open(place.directory) else { return .failed }
        defer { close(directory) }
        let made = attempt(.create(shown, place), forgetting: [place]) {
            make(shown, place.name, in: directory)
        }
        guard made else { return .failed }
        if shown.kind == .file { tellOfBytes(shown.node, place.name, in: directory) }
        return .done
    }

    private func make(_ shown: ViewChange.Shown, _ name: [UInt8], in directory: Int32) -> Int32 {
        unsafe withPath(name) { name in
            switch shown.kind {
            case .directory: unsafe mkdirat(directory, name, 0o700)
            case .symlink: unsafe symlinkat("?", directory, name)
            default: unsafe mknodat(directory, name, shown.kind.modeBits | 0o600, 0)
            }
        }
    }

    private func remove(_ shown: ViewChange.Shown, _ place: NamePlace) -> Outcome {
        guard let directory = open(place.directory) else { return .failed }
        defer { close(directory) }
        let isDirectory = shown.kind == .directory
        let isRemoved = attempt(
            .remove(shown, place), forgetting: [place], first: !isDirectory
        ) {
            unsafe withPath(place.name) { name in
                unsafe unlinkat(directory, name, isDirectory ? AT_REMOVEDIR : 0)
            }
        }
        return isRemoved ? .done : .failed
    }

    private func move(
        _ from: NamePlace, _ to: NamePlace, isDirectory: Bool, flags: UInt32,
        _ expectation: Replay.Expectation
    ) -> Outcome {
        guard let directory = open(from.directory) else { return .failed }
        defer { close(directory) }
        guard let newDirectory = open(to.directory) else { return .failed }
        defer { close(newDirectory) }
        let isMoved = attempt(expectation, forgetting: [from, to], first: !isDirectory) {
            unsafe withPath(from.name) { name in
                unsafe withPath(to.name) { newName in
                    unsafe holdfast_renameat2(directory, name, newDirectory, newName, flags)
                }
            }
        }
        return isMoved ? .done : .failed
    }

    /// Tries a call that what the kernel keeps of names may stand in the way of: others may have looked
    /// up the new state already.
    private func attempt(
        _ expectation: Replay.Expectation, forgetting places: [NamePlace], first: Bool = true,
        _ call: () -> Int32
    ) -> Bool {
        for round in 0..<MountLimits.replayRoundsMax {
            if first || round > 0 { for place in places { kernel.forgetEntry(place) } }
            let (error, isMet) = replay.expect(expectation) {
                (call() == 0 ? 0 : errno, replay.isMet)
            }
            if error == 0, isMet { return true }
            // Nothing was asked of us: under both names the kernel had the same.
            guard [0, EEXIST, ENOENT, ENOTDIR, EISDIR, ESTALE].contains(error) else { return false }
        }
        return false
    }

    // MARK: Contents and attributes

    /// As a program that has written the bytes of a new file.
    private func tellOfBytes(_ node: NodeID, _ name: [UInt8], in directory: Int32) {
        guard let wanted = try? volume.attributes(of: node), wanted.size > 0 else { return }
        let file = openFile(name, in: directory)
        guard file >= 0 else { return }
        defer { close(file) }
        replay.expect(.change(node, ContentReplay(file, isShown: true))) {
            var kept = stat()
            guard unsafe fstat(file, &kept) == 0, touch(file, size: kept.st_size) == 0 else {
                return
            }
            settleTime(of: file, node)
        }
    }

    /// Truncates a file to the size it has for the kernel: with another that would take this moment for the time
    /// of modification. The answer says the true one. By path, because through the descriptor the kernel would
    /// set the time, too.
    private func touch(_ file: Int32, size: off_t) -> Int32 {
        unsafe Glibc.truncate("/proc/self/fd/\(file)", size)
    }

    /// Where the kernel has a wrong time all the same it gets the true one, unless somebody writes to the file.
    /// Somebody may have written, and be done with that, since it was asked which one is true.
    private func settleTime(of file: Int32, _ node: NodeID) {
        for _ in 0..<MountLimits.replayRoundsMax {
            var kept = stat()
            guard unsafe fstat(file, &kept) == 0,
                let modified = try? volume.attributes(of: node).modified,
                Timestamp(kept.st_mtim) != modified,
                setTimes(file, kept.st_atim, timespec(modified))
            else { return }
        }
    }

    private func content(_ node: NodeID) -> Outcome {
        let open = table.file(of: node)
        if let open {
            // What programs wrote before counts as made on the old version.
            if open.hasWriters { kernel.takePages(of: open.id) }
            if open.keepsBytes() { return .done }
        }
        guard let path = try? volume.path(of: node), let name = path.names.last,
            open != nil || table.id(of: node) != nil || table.id(of: path.directory) != nil
        else { return .failed }
        guard let directory = self.open(path.names.dropLast()) else { return .failed }
        defer { close(directory) }
        var mode: mode_t?
        var file = openFile(name, in: directory)
        if file < 0, errno == EACCES, let wanted = try? volume.attributes(of: node).mode {
            // Its owner may not write to it, but may allow that for a moment.
            mode = wanted
            replay.expect(.change(node, nil)) {
                _ = unsafe withPath(name) { unsafe fchmodat(directory, $0, wanted | 0o200, 0) }
            }
            file = openFile(name, in: directory)
        }
        guard file >= 0 else { return errno == ETXTBSY ? .busy : .failed }
        defer { close(file) }
        guard place.isHere(file) else { return .failed }
        let outcome = show(node, file)
        if let mode { _ = replay.expect(.change(node, nil)) { fchmod(file, mode) } }
        return outcome
    }

    /// Shows another content of an open file: see `ContentReplay`.
    private func show(_ node: NodeID, _ file: Int32) -> Outcome {
        for _ in 0..<MountLimits.replayRoundsMax {
            var kept = stat()
            guard unsafe fstat(file, &kept) == 0, let wanted = try? volume.attributes(of: node)
            else { return .failed }
            let content = ContentReplay(file)
            let code = replay.expect(.change(node, content)) {
                // Both, because the time of modification alone is told as another write.
                guard setTimes(file, kept.st_atim, timespec(wanted.modified)),
                    unsafe fstat(file, &kept) == 0, touch(file, size: kept.st_size) == 0
                else { return errno }
                settleTime(of: file, node)
                return 0
            }
            switch code {
            // With bytes to keep it is shown when those are published.
            case 0, EBUSY: return .done
            case EAGAIN: usleep(MountLimits.clockTick)
            default: return .failed
            }
        }
        return .busy
    }

    private func attributes(_ node: NodeID) -> Outcome {
        for _ in 0..<MountLimits.replayRoundsMax {
            guard let wanted = try? volume.attributes(of: node) else { return .failed }
            let outcome = show(wanted, of: node)
            // Somebody may have written meanwhile, and be done with that: the kernel has got an old time then.
            guard outcome == .done, let now = try? volume.attributes(of: node),
                now.modified != wanted.modified
            else { return outcome }
        }
        return .busy
    }

    private func show(_ wanted: Attributes, of node: NodeID) -> Outcome {
        guard let path = try? volume.path(of: node),
            table.id(of: node) != nil || table.id(of: path.directory) != nil,
            let directory = open(path.names.dropLast())
        else { return .failed }
        defer { close(directory) }
        let file = table.file(of: node)
        var hasOwnTimes = file?.hasOwnTimes ?? false
        let code = replay.expect(.change(node, nil)) {
            unsafe withPath(path.names.last ?? [46]) { name in
                let times = [timespec(wanted.accessed), timespec(wanted.modified)]
                if !hasOwnTimes {
                    let code = unsafe utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW)
                    guard code != 0, errno == EBUSY else { return code }
                    hasOwnTimes = true
                }
                return unsafe fchmodat(directory, name, wanted.mode, 0)
            }
        }
        guard code == 0 else { return .failed }
        return hasOwnTimes ? .busy : .done
    }

    /// The time of modification that programs see; nil if the file shows nowhere.
    func modified(_ node: NodeID) -> Timestamp? {
        guard let path = try? volume.path(of: node) else { return nil }
        guard let root = place.openOwn() else {
            // Mostly a program has just been killed, and somebody may want to unmount now. The number tells
            // whether a link has led elsewhere.
            guard let status = place.status(of: path.names),
                let number = try? volume.attributes(of: node).number,
                status.st_ino == number.rawValue
            else { return nil }
            return Timestamp(status.st_mtim)
        }
        guard let directory = open(path.names.dropLast(), below: root) else { return nil }
        defer { close(directory) }
        return unsafe withPath(path.names.last ?? [46]) { name in
            var status = stat()
            // The structure is a local one.
            guard unsafe fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0,
                status.st_dev == place.device
            else { return nil }
            return Timestamp(status.st_mtim)
        }
    }

    private func setTimes(_ file: Int32, _ accessed: timespec, _ modified: timespec) -> Bool {
        unsafe futimens(file, [accessed, modified]) == 0
    }

    private func openFile(_ name: [UInt8], in directory: Int32) -> Int32 {
        unsafe withPath(name) { name in
            unsafe openat(
                directory, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        }
    }

    // MARK: Paths

    private func open(_ directory: NodeID) -> Int32? {
        var directory = directory
        var below: [[UInt8]] = []
        while below.count < MountLimits.replayDepthMax {
            if let path = try? volume.path(of: directory) {
                return open(path.names[...] + below.reversed())
            }
            guard let place = departed(directory) else { return nil }
            below.append(place.name)
            directory = place.directory
        }
        return nil
    }

    private func open(_ names: ArraySlice<[UInt8]>) -> Int32? {
        open(names, below: place.open())
    }

    /// A directory by the names from the root down; nil if it is not there, or is not ours.
    ///
    /// - Parameter root: is closed.
    private func open(_ names: ArraySlice<[UInt8]>, below root: Int32?) -> Int32? {
        guard var directory = root else { return nil }
        for name in names {
            let next = unsafe withPath(name) { name in
                unsafe openat(
                    directory, name, Int32(HOLDFAST_O_PATH) | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            }
            close(directory)
            guard next >= 0 else { return nil }
            guard place.isHere(next) else {
                close(next)
                return nil
            }
            directory = next
        }
        return directory
    }

    private func withPath<Result>(
        _ name: [UInt8], _ body: (UnsafePointer<CChar>) -> Result
    ) -> Result {
        let bytes = name.map { CChar(bitPattern: $0) } + [0]
        return unsafe bytes.withUnsafeBufferPointer { bytes in
            // Never empty: it ends in the zero that C wants.
            unsafe body(bytes.baseAddress!)
        }
    }
}
