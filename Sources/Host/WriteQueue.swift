import CLinux
import Glibc

/// Bytes on their way to a socket, in the pieces they were given in; nothing is copied.
struct WriteQueue {
    private var pieces: [[UInt8]] = []
    /// The first piece not wholly written.
    private var head = 0
    /// Bytes of it that are.
    private var offset = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    mutating func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        pieces.append(bytes)
        count += bytes.count
    }

    mutating func removeAll() { self = WriteQueue() }

    /// Gives the socket what it takes now, many pieces a call.
    ///
    /// - Returns: `done` when empty, else why it stopped.
    mutating func write(to descriptor: Int32) -> Attempt {
        var vectors: [iovec] = unsafe []
        unsafe vectors.reserveCapacity(Self.piecesPerCall)
        while !isEmpty {
            let last = min(pieces.count, head + Self.piecesPerCall)
            unsafe vectors.removeAll(keepingCapacity: true)
            let attempt = unsafe send(to: descriptor, from: head, last, &vectors)
            guard case .done(let written) = attempt else { return attempt }
            advance(by: written)
        }
        return .done(0)
    }

    private static let piecesPerCall = 32

    /// Adds the pieces from `index` to the vectors, each within the one before, so that all
    /// pointers are alive when the call is made.
    private func send(
        to descriptor: Int32, from index: Int, _ last: Int, _ vectors: inout [iovec]
    ) -> Attempt {
        guard index < last else {
            return attempt {
                // The vectors point into arrays that the callers hold.
                unsafe vectors.withUnsafeMutableBufferPointer { buffer in
                    var message = unsafe msghdr()
                    unsafe message.msg_iov = buffer.baseAddress
                    unsafe message.msg_iovlen = buffer.count
                    return unsafe sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
                }
            }
        }
        let skipped = index == head ? offset : 0
        return unsafe pieces[index].withUnsafeBytes { raw in
            // sendmsg only reads what the vector names; `skipped` is less than the piece's size.
            let rest = unsafe UnsafeRawBufferPointer(rebasing: raw[skipped...])
            unsafe vectors.append(
                iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: rest.baseAddress),
                    iov_len: rest.count))
            return unsafe send(to: descriptor, from: index + 1, last, &vectors)
        }
    }

    private mutating func advance(by written: Int) {
        count -= written
        var rest = written
        while rest > 0 {
            let left = pieces[head].count - offset
            guard rest >= left else {
                offset += rest
                return
            }
            rest -= left
            pieces[head] = []
            head += 1
            offset = 0
        }
        // Amortised: the written half goes when it is the greater one.
        if head * 2 >= pieces.count {
            pieces.removeFirst(head)
            head = 0
        }
    }
}
