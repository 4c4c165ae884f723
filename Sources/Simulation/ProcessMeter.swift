internal import Glibc

/// What the simulating process itself uses: no part of any result that a seed determines.
enum ProcessMeter {
    /// Bytes of memory in use, from `/proc/self/statm`; 0 where that cannot be read.
    static var residentBytes: Int {
        // A literal is a terminated string that lives as long as the call.
        let descriptor = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return 0 }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 128)
        // At most the buffer's own size is written into it.
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            unsafe read(descriptor, bytes.baseAddress, bytes.count)
        }
        guard count > 0 else { return 0 }
        let fields = String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
    }

    /// `residentBytes` when first asked for: memory that is freed stays resident and is used again, so
    /// that what later runs need shows only against the time before all.
    static let residentBytesAtFirst = residentBytes

    /// What memory has grown by since.
    static var residentBytesGrown: Int { residentBytes - residentBytesAtFirst }

    /// The processor's time that this process has had.
    static var processorTime: Duration {
        var time = timespec()
        // Writes one structure.
        guard unsafe clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return .zero }
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
