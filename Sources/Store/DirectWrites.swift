internal import Base
internal import CLinux
internal import Glibc
internal import Synchronization

/// Large writes that pass the page cache by, while the disk takes them about as fast as memory does.
///
/// What a program writes into the mount the kernel keeps in its cache already. A second copy below
/// the mount takes memory that may have to be found first, and is on its way to the disk within a second:
/// 128 MiB of new pages took 550 ms and 100 ms for the sync on the machine this was measured on, direct
/// writes with their sync 115 ms. On a slow disk the cache lets the program go on, and is used.
final class DirectWrites: Sendable {
    enum Limits {
        /// Smaller writes cost the disk more than the page cache.
        static let bytesMin = 256 << 10
        /// What any disk can address, and any page holds.
        static let alignment = 4096
        /// A disk that takes a mebibyte in no more time than this is fast.
        static let patience = Duration.microseconds(2500)
        /// After so many bytes in the page cache a slow disk is tried again.
        static let restBytes = 256 << 20
        /// The disk begins with so many bytes of the page cache at once.
        static let begunBytes = 8 << 20
        /// Buffers that are kept.
        static let idleBuffersMax = 2
    }

    private struct Pace {
        /// A moving average, for a mebibyte.
        var average = Duration.zero
        /// Bytes that go to the page cache before the next try.
        var rest = 0
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
        let clock = ContinuousClock()
        let start = clock.now
        let isWritten = unsafe buffers.withAligned(bytes) { bytes in
            do {
                try unsafe file.write(bytes, at: offset)
                return true
            } catch {
                return false
            }
        }
        note(bytes.count, start.duration(to: clock.now))
        return isWritten
    }

    /// - Parameter duration: that `count` bytes took.
    func note(_ count: Int, _ duration: Duration) {
        let share = duration * (1 << 20) / count
        pace.withLock { pace in
            pace.average += (share - pace.average) / 8
            guard pace.average > Limits.patience else { return }
            pace = Pace(rest: Limits.restBytes)
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
