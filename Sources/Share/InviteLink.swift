package import Base
import Crypto
import Wire

/// What lets a new device into a share: one copyable word.
///
///     holdfast:<z-base-32>
///
///     offset  bytes  field
///     0       1      version, 1
///     1       1      kind, 0: an invite to write
///     2       32     share key
///     34      32     key of the founding log
///     66      32     secret seed of the invite key pair
///     98      ...    name: length, UTF-8 bytes
///             ...    address hints: count, each as length and `host:port`
///             4      first bytes of BLAKE2b-256 over all before
///
/// Whoever holds the text can read the share, so it is a secret: it is never put on a command line
/// by us, never logged, and has no description.
package struct InviteLink: Equatable, Sendable {
    package var shareKey: Bytes32
    package var foundingLog: Bytes32
    package var inviteSeed: Bytes32
    package var name: String
    /// `host:port` of devices that were reachable there when the link was made.
    package var addressHints: [String]

    package static let scheme = "holdfast:"
    private static let version: UInt8 = 1
    private static let kind: UInt8 = 0
    private static let checksumSize = 4
    /// Characters after the scheme: more is no link of ours.
    private static let textSizeMax = 8192
    private static let nameSizeMax = 255
    private static let hintsMax = 16

    package init(
        shareKey: Bytes32, foundingLog: Bytes32, inviteSeed: Bytes32, name: String,
        addressHints: [String]
    ) {
        self.shareKey = shareKey
        self.foundingLog = foundingLog
        self.inviteSeed = inviteSeed
        self.name = name
        self.addressHints = addressHints
    }

    package var text: String {
        var writer = WireWriter()
        writer.writeUInt8(Self.version)
        writer.writeUInt8(Self.kind)
        writer.writeBytes32(shareKey)
        writer.writeBytes32(foundingLog)
        writer.writeBytes32(inviteSeed)
        writer.writeString(name)
        let hints = addressHints.prefix(Self.hintsMax)
        writer.writeUInt(hints.count)
        for hint in hints { writer.writeString(hint) }
        let checksum = Blake2b.hash256(writer.bytes).bytes.prefix(Self.checksumSize)
        writer.writeRaw(Array(checksum))
        return Self.scheme + ZBase32.encode(writer.bytes)
    }

    /// - Throws: `LinkError`, whose description says what is wrong with the text.
    package init(parsing text: String) throws(LinkError) {
        let trimmed = text.drop(while: \.isWhitespace)
        guard trimmed.lowercased().hasPrefix(Self.scheme) else { throw .notALink }
        let word = trimmed.dropFirst(Self.scheme.count).prefix { !$0.isWhitespace }
        guard word.utf8.count <= Self.textSizeMax else { throw .damaged }
        guard let bytes = ZBase32.decode(word), bytes.count > Self.checksumSize + 2 else {
            throw .damaged
        }
        guard bytes[0] == Self.version else { throw .unknownVersion(bytes[0]) }
        guard bytes[1] == Self.kind else { throw .unknownKind(bytes[1]) }
        let body = Array(bytes.dropLast(Self.checksumSize))
        let checksum = Blake2b.hash256(body).bytes.prefix(Self.checksumSize)
        guard Array(bytes.suffix(Self.checksumSize)) == Array(checksum) else { throw .damaged }
        do {
            var reader = WireReader(body.span)
            _ = try reader.readBytes(2)
            shareKey = try reader.readBytes32()
            foundingLog = try reader.readBytes32()
            inviteSeed = try reader.readBytes32()
            name = try reader.readString(max: Self.nameSizeMax)
            let count = try reader.readCount(max: Self.hintsMax, minimumElementSize: 1)
            addressHints = []
            for _ in 0..<count { addressHints.append(try reader.readString(max: 255)) }
        } catch {
            throw .damaged
        }
    }
}

package enum LinkError: Error, Equatable, CustomStringConvertible {
    case notALink
    case damaged
    case unknownVersion(UInt8)
    case unknownKind(UInt8)

    package var description: String {
        switch self {
        case .notALink: "not an invite link: it must begin with \"\(InviteLink.scheme)\""
        case .damaged: "the link is mistyped or cut short: copy the whole of it again"
        case .unknownVersion(let version):
            "the link is of version \(version), made by a newer Holdfast: update this one"
        case .unknownKind(let kind):
            "the link is of an unknown kind (\(kind)): update Holdfast"
        }
    }
}
