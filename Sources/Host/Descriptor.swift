import CLinux
import Glibc

/// A file descriptor that is closed exactly once, when its owner goes.
struct Descriptor: ~Copyable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    /// Takes what a system call returned.
    init(_ result: Int32, _ action: @autoclosure () -> String) throws(HostError) {
        guard result >= 0 else { throw .system(code: errno, action: action()) }
        number = result
    }

    deinit { close(number) }
}

/// What one non-blocking call came to.
enum Attempt: Equatable {
    case done(Int)
    case wouldBlock
    case failed(code: Int32)
}

/// Calls again while interrupted by a signal.
@inline(__always)
func attempt(_ call: () -> Int) -> Attempt {
    while true {
        let result = call()
        if result >= 0 { return .done(result) }
        switch errno {
        case EINTR: continue
        case EAGAIN: return .wouldBlock
        case let code: return .failed(code: code)
        }
    }
}

/// Checks the result of a call that gives 0, or -1 and an errno.
func check(_ result: Int32, _ action: @autoclosure () -> String) throws(HostError) {
    guard result >= 0 else { throw .system(code: errno, action: action()) }
}

func setNonBlocking(_ descriptor: Int32) throws(HostError) {
    let flags = fcntl(descriptor, F_GETFL)
    try check(flags, "reading a descriptor's flags")
    try check(fcntl(descriptor, F_SETFL, flags | O_NONBLOCK), "setting a descriptor's flags")
}

/// A pipe whose ends are closed on exec.
func makePipe() throws(HostError) -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    // The array holds the two numbers that pipe2 writes.
    let result = unsafe ends.withUnsafeMutableBufferPointer {
        unsafe pipe2($0.baseAddress, O_CLOEXEC)
    }
    try check(result, "making a pipe")
    return (ends[0], ends[1])
}
