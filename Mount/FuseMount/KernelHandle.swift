/// Swift objects as the numbers that the kernel carries for open files and directories.
enum KernelHandle {
    /// - Returns: a number that keeps the object until `release`.
    static func retain(_ object: AnyObject) -> UInt64 {
        UInt64(UInt(bitPattern: unsafe Unmanaged.passRetained(object).toOpaque()))
    }

    /// The object behind a number; the kernel uses none after its release.
    static func object(_ number: UInt64) -> AnyObject? {
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: UInt(number)) else { return nil }
        // Retained by `retain`: only our own kernel hands numbers back.
        return unsafe Unmanaged<AnyObject>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// Gives up the number's hold on the object.
    static func release(_ number: UInt64) -> AnyObject? {
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: UInt(number)) else { return nil }
        // As above; the number is not used again.
        return unsafe Unmanaged<AnyObject>.fromOpaque(pointer).takeRetainedValue()
    }
}
