internal import Synchronization

/// Buffers for replies to reads, kept so that a read allocates nothing.
@safe final class BufferPool: Sendable {
    @safe private struct Buffer: @unchecked Sendable {
        let memory: UnsafeMutableRawBufferPointer
    }

    private let idle = Mutex<[Buffer]>([])

    deinit {
        let buffers = idle.withLock { $0 }
        // Nobody borrows from a pool that is gone.
        for buffer in buffers { unsafe buffer.memory.deallocate() }
    }

    /// Lends at least `count` bytes, of any content, until `giveBack`.
    func borrow(_ count: Int) -> UnsafeMutableRawBufferPointer {
        if count <= MountLimits.readSizeMax, let buffer = idle.withLock({ $0.popLast() }) {
            return unsafe buffer.memory
        }
        return .allocate(byteCount: max(count, MountLimits.readSizeMax), alignment: 4096)
    }

    func giveBack(_ memory: UnsafeMutableRawBufferPointer) {
        let buffer = unsafe Buffer(memory: memory)
        let isKept =
            memory.count == MountLimits.readSizeMax
            && idle.withLock { idle in
                guard idle.count < MountLimits.idleBuffersMax else { return false }
                idle.append(buffer)
                return true
            }
        // Freed only if the pool did not take it back.
        if !isKept { unsafe memory.deallocate() }
    }
}
