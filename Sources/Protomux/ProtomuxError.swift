package import Wire

/// Why a connection is over: the other side broke the protocol.
package enum ProtomuxError: Error, Equatable, Sendable {
    /// A message that cannot be decoded.
    case malformed(WireError)
    /// An Open whose id is in use, skips ids or is above `Limits.channelsMax`.
    case invalidOpen(UInt64)
    /// A Reject of an id that is not waiting for an answer.
    case invalidReject(UInt64)
    /// A batch in a batch.
    case nestedBatch
}

extension ProtomuxError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let error): "a malformed message: \(error)"
        case .invalidOpen(let id): "an Open with the id \(id), which cannot be opened now"
        case .invalidReject(let id): "a Reject of \(id), which is not waiting"
        case .nestedBatch: "a batch in a batch"
        }
    }
}
