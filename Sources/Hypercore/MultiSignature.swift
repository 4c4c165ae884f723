internal import Base
internal import Wire

/// Several signers' signatures over one tree.
struct MultiSignature: Equatable, Sendable {
    struct Part: Equatable, Sendable {
        /// Which of the manifest's signers.
        var signer: UInt64
        /// 64 bytes.
        var signature: [UInt8]
        /// How many blocks longer the signed log was; 0 without a patch.
        var patch: UInt64 = 0
    }

    var parts: [Part]
    /// What is needed to get from the tree to the longer ones that were signed.
    var patchNodes: [TreeNode] = []
}

/// Versions 1 and 2.
extension MultiSignature: Message {
    private static let signatureSize = 64

    init(from reader: inout WireReader) throws(WireError) {
        let count = try reader.readCount(max: Limits.signersMax, minimumElementSize: 66)
        parts = []
        parts.reserveCapacity(count)
        for _ in 0..<count {
            let signer = try reader.readUInt()
            let signature = try reader.readBytes(Self.signatureSize)
            parts.append(
                Part(signer: signer, signature: signature, patch: try reader.readUInt()))
        }
        patchNodes = try TreeNode.list(from: &reader)
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt(parts.count)
        for part in parts {
            writer.writeUInt(part.signer)
            writer.writeRaw(part.signature)
            writer.writeUInt(part.patch)
        }
        TreeNode.encode(patchNodes, into: &writer)
    }
}

/// Version 0, without patches.
extension MultiSignature {
    init(version0 bytes: [UInt8]) throws(WireError) {
        var reader = WireReader(bytes.span)
        let count = try reader.readCount(max: Limits.signersMax, minimumElementSize: 66)
        parts = []
        parts.reserveCapacity(count)
        for _ in 0..<count {
            guard try reader.readUInt() & 1 == 0 else {
                throw .invalid("patch in a signature of version 0")
            }
            let signer = try reader.readUInt()
            parts.append(
                Part(signer: signer, signature: try reader.readBytes(Self.signatureSize)))
        }
    }

    var encodedAsVersion0: [UInt8] {
        var writer = WireWriter(reserving: 80)
        writer.writeUInt(parts.count)
        for part in parts {
            writer.writeUInt(0)
            writer.writeUInt(part.signer)
            writer.writeRaw(part.signature)
        }
        TreeNode.encode([], into: &writer)
        return writer.bytes
    }
}
