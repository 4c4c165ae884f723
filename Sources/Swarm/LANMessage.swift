package import Base
import Crypto
import Wire

/// One datagram of discovery on the local network: says to those who know a topic where this device
/// listens, and to all others nothing but that somebody runs Holdfast.
///
///     offset  bytes  field
///     0       8      "holdfast"
///     8       1      version, 1
///     9       1      flags: 1, an answer is wanted
///     10      16     nonce, random, different in every datagram
///     26      2      TCP port, low byte first; 0 for one who only asks
///     28      32     BLAKE2b-256 keyed with the topic over "holdfast lan" and bytes 8 to 27
package struct LANMessage: Equatable, Sendable {
    package var wantsAnswer: Bool
    package var nonce: [UInt8]
    package var port: UInt16
    private var tag: Bytes32

    package static let size = 60
    package static let nonceSize = 16
    private static let magic = Array("holdfast".utf8)
    private static let version: UInt8 = 1

    /// - Parameter nonce: 16 random bytes, used once.
    package init(topic: Bytes32, port: UInt16, wantsAnswer: Bool, nonce: [UInt8]) {
        precondition(nonce.count == Self.nonceSize)
        self.wantsAnswer = wantsAnswer
        self.nonce = nonce
        self.port = port
        tag = .zero
        tag = tag(under: topic)
    }

    /// - Returns: nil unless it is such a datagram, of this version.
    package init?(_ datagram: Span<UInt8>) {
        guard datagram.count == Self.size else { return nil }
        var reader = WireReader(datagram)
        guard let magic = try? reader.readBytes(Self.magic.count), magic == Self.magic,
            let version = try? reader.readUInt8(), version == Self.version,
            let flags = try? reader.readUInt8(),
            let nonce = try? reader.readBytes(Self.nonceSize),
            let port = try? reader.readUInt16(), let tag = try? reader.readBytes32()
        else { return nil }
        wantsAnswer = flags & 1 != 0
        self.nonce = nonce
        self.port = port
        self.tag = tag
    }

    package var bytes: [UInt8] { Self.magic + body + tag.bytes }

    /// Whether it is about this topic.
    package func isAbout(_ topic: Bytes32) -> Bool { tag == tag(under: topic) }

    private var body: [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(Self.version)
        writer.writeUInt8(wantsAnswer ? 1 : 0)
        writer.writeRaw(nonce)
        writer.writeUInt16(port)
        return writer.bytes
    }

    private func tag(under topic: Bytes32) -> Bytes32 {
        Blake2b.hash256(key: topic, Array("holdfast lan".utf8) + body)
    }
}
