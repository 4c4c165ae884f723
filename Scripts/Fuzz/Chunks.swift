// modules: Base Wire Crypto Protomux Chunks
import Base
import Chunks

/// The first byte says what the rest is: the content of a version, or a piece of a pack file.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard let kind = bytes.first else { return 0 }
    let rest = Array(bytes[1...])
    switch kind & 3 {
    case 0, 1: decodeContent(rest)
    case 2: _ = try? PackFormat.decodeHeader(rest.span)
    default: _ = try? PackFormat.decodeRecordHeader(rest.span)
    }
    return 0
}

private func decodeContent(_ bytes: [UInt8]) {
    guard let content = try? Content(decoding: bytes) else { return }
    let again = try? Content(decoding: content.encode())
    precondition(again == content, "\(content) came back as \(String(describing: again))")
    if case .pieces(let pieces) = content {
        precondition(pieces.reduce(0) { $0 + $1.size } == content.size)
    }
}
