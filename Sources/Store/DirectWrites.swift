internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization

/// Large writes that pass the page cache by, while the disk takes them about as fast as memory does; and
/// how they are read again.
///
/// What a program writes into the mount the kernel keeps in its cache already. A second copy below
/// the mount takes memory that may have to be found first, and is on its way to the disk within a second:
/// 128 MiB of new pages took 550 ms and 100 ms for the sync on the machine this was measured on, direct
/// writes with their sync 115 ms. On a slow disk the cache lets the program go on, and is used.
final class DirectWrites: Sendable {
    enum Limits {
        /// Smaller writes cost the disk more than the page cache.
        static let bytesMin = 256 << 10
        /// Smaller reads are served by what the page cache reads ahead.
        static let readBytesMin = 128 << 10
        /// What any disk can address, and any page holds.
        static let alignment = 4096
        /// A disk that takes a mebibyte in no more time than this is fast.
        static let patience = Duration.microseconds(2500)
        /// What one write counts for in an average; and by what part of it is trusted less with each direct
        /// write how long the page cache took.
        static let averagedWrites = 8
        static let trustedWrites = 64
        /// After so many bytes in the page cache a slow disk is tried again.
        static let restBytes = 256 << 20
        /// The disk begins with so many bytes of the page cache at once.
        static let begunBytes = 8 << 20
        /// Buffers that are kept.
        static let idleBuffersMax = 2
    }

    private struct Pace {
        /// Moving averages, for a mebibyte.
        var direct = Duration.zero
        /// Since the disk was left alone last; zero if it never was.
        var cached = Duration.zero
        /// Bytes that go to the page cache before the next try.
        var rest = 0
        /// Direct writes under way.
        var inFlight = 0
    }

    private let pace = Mutex(Pace())
    private let buffers = AlignedBuffers()

    /// Whether a write should be tried.
    func wants(_ count: Int, at offset: UInt64) -> Bool {
        guard count >= Limits.bytesMin, count % Limits.alignment == 0,
            offset % UInt64(Limits.alignment) == 0
        else { return false }
        return pace.withLock { pace in
            guard pace.rest > 0 else { return true }
            pace.rest -= count
            if pace.rest <= 0 { pace = Pace(inFlight: pace.inFlight) }
            return false
        }
    }

    /// - Parameter file: open for direct writes.
    /// - Returns: whether all was written; if not, any part of it may have been.
    func write(
        _ bytes: UnsafeRawBufferPointer, at offset: UInt64, to file: borrowing FileDescriptor
    )
        -> Bool
    {
        let start = ContinuousClock.now
        let before = pace.withLock { pace in
            pace.inFlight += 1
            return pace.inFlight
        }
        let isWritten = unsafe buffers.withAligned(bytes) { bytes in
            do {
                try unsafe file.write(bytes, at: offset)
                return true
            } catch {
                return false
            }
        }
        let after = pace.withLock { pace in
            defer { pace.inFlight -= 1 }
            return pace.inFlight
        }
        // The disk shared the time among them.
        note(bytes.count, (ContinuousClock.now - start) * 2 / (before + after))
        return isWritten
    }

    /// Whether bytes that were written past the page cache should be read so: they are not in it, and whoever
    /// reads them next has a cache of its own, or needs them once.
    func suits(_ count: Int, at offset: UInt64) -> Bool {
        count >= Limits.readBytesMin && count % Limits.alignment == 0
            && offset % UInt64(Limits.alignment) == 0
    }

    /// - Parameter file: open for direct access.
    /// - Returns: as `FileDescriptor.read`; nil if it must be read otherwise.
    func read(
        at offset: UInt64, into bytes: UnsafeMutableRawBufferPointer,
        from file: borrowing FileDescriptor
    ) -> Int? {
        unsafe buffers.fillAligned(bytes) { bytes in
            do {
                return try unsafe file.read(at: offset, into: bytes)
            } catch {
                return nil
            }
        }
    }

    /// - Parameter duration: that `count` bytes took.
    func note(_ count: Int, _ duration: Duration) {
        let share = duration * (1 << 20) / count
        pace.withLock { pace in
            pace.direct += (share - pace.direct) / Limits.averagedWrites
            guard pace.direct > Limits.patience else { return }
            // What the page cache took once says little about now.
            pace.cached -= pace.cached / Limits.trustedWrites
            guard pace.direct > pace.cached else { return }
            pace.cached = .zero
            pace.rest = Limits.restBytes
        }
    }

    /// - Parameter duration: that `count` bytes took on their way to the page cache.
    func noteCached(_ count: Int, _ duration: Duration) {
        let share = duration * (1 << 20) / count
        pace.withLock { pace in
            guard pace.rest > 0 else { return }
            pace.cached += (share - pace.cached) / Limits.averagedWrites
            if pace.cached > pace.direct { pace.rest = 0 }
        }
    }
}

/// A file that is open for direct writes, or why not.
enum DirectFile {
    final class Opened: Sendable {
        let descriptor: FileDescriptor
        init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
    }

    case unopened
    case open(Opened)
    /// The filesystem has no direct writes, or one failed: the page cache knows why.
    case refused

    /// nil if nothing was written so yet.
    var opened: Opened? {
        if case .open(let opened) = self { opened } else { nil }
    }

    static func open(_ name: String, in directory: Directory) -> DirectFile {
        do throws(StorageError) {
            return .open(Opened(try directory.file(name, O_RDWR | Int32(HOLDFAST_O_DIRECT))))
        } catch {
            return .refused
        }
    }
}

/// Memory that direct writes can be made from.
@safe private final class AlignedBuffers: Sendable {
    @safe private struct Buffer: @unchecked Sendable {
        let memory: UnsafeMutableRawBufferPointer
    }

    private let idle = Mutex<[Buffer]>([])

    deinit {
        // Nobody borrows from a pool that is gone.
        for buffer in idle.withLock({ $0 }) { unsafe buffer.memory.deallocate() }
    }

    /// Calls with `bytes`, or a copy of them that is aligned.
    func withAligned(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Bool)
        -> Bool
    {
        if Int(bitPattern: bytes.baseAddress) % DirectWrites.Limits.alignment == 0 {
            return unsafe body(bytes)
        }
        let buffer = borrow(bytes.count)
        // At least as long as `bytes`.
        unsafe buffer.memory.copyMemory(from: bytes)
        defer { giveBack(buffer) }
        return unsafe body(UnsafeRawBufferPointer(rebasing: buffer.memory[..<bytes.count]))
    }

    /// Has `body` fill `bytes`, or aligned memory that is copied to them.
    ///
    /// - Returns: what `body` does: how many bytes it filled, or nil.
    func fillAligned(
        _ bytes: UnsafeMutableRawBufferPointer, _ body: (UnsafeMutableRawBufferPointer) -> Int?
    ) -> Int? {
        if Int(bitPattern: bytes.baseAddress) % DirectWrites.Limits.alignment == 0 {
            return unsafe body(bytes)
        }
        let buffer = borrow(bytes.count)
        defer { giveBack(buffer) }
        // At least as long as `bytes`.
        let memory = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer.memory[..<bytes.count])
        guard let count = unsafe body(memory) else { return nil }
        unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[..<count]))
        return count
    }

    private func borrow(_ count: Int) -> Buffer {
        let found = idle.withLock { idle -> Buffer? in
            guard let place = idle.firstIndex(where: { unsafe $0.memory.count >= count }) else {
                return nil
            }
            return idle.remove(at: place)
        }
        if let found { return found }
        return unsafe Buffer(
            memory: .allocate(byteCount: count, alignment: DirectWrites.Limits.alignment))
    }

    private func giveBack(_ buffer: Buffer) {
        let isKept = idle.withLock { idle in
            guard idle.count < DirectWrites.Limits.idleBuffersMax else { return false }
            idle.append(buffer)
            return true
        }
        // Freed only if the pool did not take it.
        if !isKept { unsafe buffer.memory.deallocate() }
    }
}
