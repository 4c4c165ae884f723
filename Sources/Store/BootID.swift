internal import Base
internal import Glibc

/// Tells one run of the machine from the next: what was written and not synced in an earlier one may
/// be gone. See random(4), `boot_id`.
struct BootID: Equatable, Sendable {
    var high: UInt64
    var low: UInt64

    /// The same for every process until the machine goes down. For tests of power failures the variable
    /// HOLDFAST_TEST_BOOT, a number, says another.
    static let current: BootID = {
        // The value lives as long as the environment, which nobody changes.
        if let text = unsafe getenv("HOLDFAST_TEST_BOOT"),
            let number = UInt64(unsafe String(cString: text))
        {
            return BootID(high: 0, low: number)
        }
        return read() ?? BootID(high: .max, low: .random(in: .min ... .max))
    }()

    private static func read() -> BootID? {
        do throws(StorageError) {
            let directory = try Directory(path: "/proc/sys/kernel/random")
            let file = try directory.file("boot_id", O_RDONLY)
            var bytes = [UInt8](repeating: 0, count: 36)
            var span = bytes.mutableSpan
            // Read into during the call only; files below /proc have no size.
            let count = try unsafe span.withUnsafeMutableBytes { (buffer) throws(StorageError) in
                try unsafe file.read(at: 0, into: buffer)
            }
            let digits = String(decoding: bytes.prefix(count), as: UTF8.self)
                .filter { $0 != "-" }
            guard digits.utf8.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
                let low = UInt64(digits.suffix(16), radix: 16)
            else { return nil }
            return BootID(high: high, low: low)
        } catch {
            return nil
        }
    }
}
