import Base

@testable import Chunks

/// Keys that golden values are pinned to.
let testKeys = ContentKeys(shareKey: Bytes32(repeating: 7))

/// A file in memory that counts what is read of it.
final class TestFile: ContentSource {
    var bytes: [UInt8]
    private(set) var bytesRead = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var size: UInt64 { UInt64(bytes.count) }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let end = min(bytes.count, Int(offset) + buffer.count)
        buffer.copyBytes(from: bytes[Int(offset)..<end])
        bytesRead += end - Int(offset)
        return end - Int(offset)
    }
}

/// Random bytes, fast enough for debug builds.
func randomBytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        let raw = UnsafeMutableRawBufferPointer(buffer)
        var offset = 0
        while offset + 8 <= count {
            raw.storeBytes(of: random.next(), toByteOffset: offset, as: UInt64.self)
            offset += 8
        }
        while offset < count {
            raw[offset] = UInt8(truncatingIfNeeded: random.next())
            offset += 1
        }
        initialized = count
    }
}

func readAll(_ reader: ContentReader, chunkSize: Int = 1 << 20) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0xaa, count: Int(reader.size))
    var offset = 0
    while offset < bytes.count {
        let end = min(bytes.count, offset + chunkSize)
        let outcome = try bytes.withUnsafeMutableBytes {
            try reader.read(
                at: UInt64(offset), into: UnsafeMutableRawBufferPointer(rebasing: $0[offset..<end]))
        }
        guard case .bytes(let count) = outcome, count == end - offset else {
            throw ContentError.storage(.corrupt(what: "read at \(offset): \(outcome)"))
        }
        offset = end
    }
    return bytes
}

func readAll(_ content: Content, _ storage: any ChunkStorage) throws -> [UInt8] {
    try readAll(ContentReader(content, storage: storage))
}
