package import Base
internal import Crypto
package import Wire

/// Who may sign a log. Its hash is the log's key.
package struct Manifest: Equatable, Sendable {
    /// One Ed25519 key that may sign.
    package struct Signer: Equatable, Sendable {
        /// Keeps apart the logs of one key pair.
        package var namespace: Bytes32
        package var publicKey: Bytes32

        package init(namespace: Bytes32, publicKey: Bytes32) {
            self.namespace = namespace
            self.publicKey = publicKey
        }
    }

    /// The tree that the log begins with, valid without a signature.
    package struct Prologue: Equatable, Sendable {
        package var hash: Bytes32
        package var length: UInt64

        package init(hash: Bytes32, length: UInt64) {
            self.hash = hash
            self.length = length
        }
    }

    /// 0, 1 or 2.
    package var version: UInt64
    /// Whether a signature over a longer log counts for its beginning.
    package var allowsPatch = false
    /// Signatures needed; 0 for a log that only has its prologue.
    package var quorum: UInt64
    package var signers: [Signer]
    package var prologue: Prologue?
    /// Keys of other logs, version 2 only.
    package var linked: [Bytes32]?
    /// Version 2 only.
    package var userData: [UInt8]?

    package init(
        version: UInt64, allowsPatch: Bool = false, quorum: UInt64, signers: [Signer],
        prologue: Prologue? = nil, linked: [Bytes32]? = nil, userData: [UInt8]? = nil
    ) {
        self.version = version
        self.allowsPatch = allowsPatch
        self.quorum = quorum
        self.signers = signers
        self.prologue = prologue
        self.linked = linked
        self.userData = userData
    }

    /// The manifest of a log with one writer: what a new Hypercore gets.
    ///
    /// - Parameter namespace: nil for Hypercore's default one.
    package init(publicKey: Bytes32, namespace: Bytes32? = nil) {
        self.init(
            version: 1, quorum: 1,
            signers: [
                Signer(namespace: namespace ?? LogNamespace.defaultSigner, publicKey: publicKey)
            ])
    }

    /// `H(MANIFEST || encoded manifest)`: the key of the log, unless the log is an old one whose key
    /// is its signer's public key.
    package var hash: Bytes32 {
        var hasher = Blake2bHasher()
        hasher.update(LogNamespace.manifest)
        hasher.update(encoded)
        return hasher.finalize()
    }

    /// Whether this can be the manifest of the log named `key`.
    package func belongs(to key: Bytes32) -> Bool { isCompat(for: key) || hash == key }

    /// Whether the log named `key` is an old one: exactly one signer, whose public key is the key.
    package func isCompat(for key: Bytes32) -> Bool {
        signers.count == 1 && signers[0].publicKey == key
    }
}

// MARK: Coding

extension Manifest {
    private enum Flag {
        static let allowPatch: UInt64 = 1
        static let prologue: UInt64 = 2
        static let linked: UInt64 = 4
        static let userData: UInt64 = 8
    }

    /// The bytes that are hashed and sent.
    package var encoded: [UInt8] {
        var writer = WireWriter(reserving: 80)
        encode(into: &writer)
        return writer.bytes
    }

    /// - Throws: for bytes that are no manifest, or one that is larger than anything sensible.
    package init(decoding bytes: [UInt8]) throws(WireError) {
        var reader = WireReader(bytes.span)
        self = try Manifest(from: &reader)
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt(version)
        if version == 0 {
            encodeVersion0(into: &writer)
            return
        }
        var flags: UInt64 = 0
        if allowsPatch { flags |= Flag.allowPatch }
        if prologue != nil { flags |= Flag.prologue }
        if linked != nil { flags |= Flag.linked }
        if userData != nil { flags |= Flag.userData }
        writer.writeUInt(flags)
        writer.writeUInt(0)  // BLAKE2b
        writer.writeUInt(quorum)
        encodeSigners(into: &writer)
        if let prologue {
            writer.writeBytes32(prologue.hash)
            writer.writeUInt(prologue.length)
        }
        if let linked {
            writer.writeUInt(linked.count)
            for key in linked { writer.writeBytes32(key) }
        }
        if let userData { writer.writeBuffer(userData) }
    }

    private func encodeVersion0(into writer: inout WireWriter) {
        writer.writeUInt(0)  // BLAKE2b
        if let prologue, signers.isEmpty {
            writer.writeUInt(0)
            writer.writeBytes32(prologue.hash)
        } else if signers.count == 1, quorum == 1, !allowsPatch {
            writer.writeUInt(1)
            encode(signers[0], into: &writer)
        } else {
            writer.writeUInt(2)
            writer.writeUInt(allowsPatch ? Flag.allowPatch : 0)
            writer.writeUInt(quorum)
            encodeSigners(into: &writer)
        }
    }

    private func encodeSigners(into writer: inout WireWriter) {
        writer.writeUInt(signers.count)
        for signer in signers { encode(signer, into: &writer) }
    }

    private func encode(_ signer: Signer, into writer: inout WireWriter) {
        writer.writeUInt(0)  // Ed25519
        writer.writeBytes32(signer.namespace)
        writer.writeBytes32(signer.publicKey)
    }

    init(from reader: inout WireReader) throws(WireError) {
        let version = try reader.readUInt()
        guard version <= 2 else { throw .invalid("manifest version \(version)") }
        if version == 0 {
            try self.init(version0From: &reader)
        } else {
            let flags = try reader.readUInt()
            try Self.readHashName(&reader)
            self.init(version: version, quorum: try reader.readUInt(), signers: [])
            allowsPatch = flags & Flag.allowPatch != 0
            signers = try Self.readSigners(&reader)
            if flags & Flag.prologue != 0 {
                let hash = try reader.readBytes32()
                prologue = Prologue(
                    hash: hash, length: try reader.readUInt(max: Limits.lengthMax))
            }
            if flags & Flag.linked != 0 { linked = try Self.readLinked(&reader) }
            if flags & Flag.userData != 0 {
                userData = try reader.readBuffer(max: Limits.userDataSizeMax)
            }
        }
        guard quorum <= UInt64(signers.count) else { throw .invalid("manifest quorum") }
    }

    private init(version0From reader: inout WireReader) throws(WireError) {
        try Self.readHashName(&reader)
        switch try reader.readUInt() {
        case 0:
            let hash = try reader.readBytes32()
            self.init(
                version: 0, quorum: 0, signers: [], prologue: Prologue(hash: hash, length: 0))
        case 1:
            self.init(version: 0, quorum: 1, signers: [try Self.readSigner(&reader)])
        case 2:
            let flags = try reader.readUInt()
            let quorum = try reader.readUInt()
            self.init(
                version: 0, allowsPatch: flags & Flag.allowPatch != 0, quorum: quorum,
                signers: try Self.readSigners(&reader))
        case let type: throw .invalid("manifest type \(type)")
        }
    }

    private static func readHashName(_ reader: inout WireReader) throws(WireError) {
        guard try reader.readUInt() == 0 else { throw .invalid("manifest hash function") }
    }

    private static func readSigner(_ reader: inout WireReader) throws(WireError) -> Signer {
        guard try reader.readUInt() == 0 else { throw .invalid("manifest signature scheme") }
        let namespace = try reader.readBytes32()
        return Signer(namespace: namespace, publicKey: try reader.readBytes32())
    }

    private static func readSigners(_ reader: inout WireReader) throws(WireError) -> [Signer] {
        let count = try reader.readCount(max: Limits.signersMax, minimumElementSize: 65)
        var signers: [Signer] = []
        signers.reserveCapacity(count)
        for _ in 0..<count { signers.append(try readSigner(&reader)) }
        return signers
    }

    private static func readLinked(_ reader: inout WireReader) throws(WireError) -> [Bytes32] {
        let count = try reader.readCount(max: Limits.linkedMax, minimumElementSize: 32)
        var keys: [Bytes32] = []
        keys.reserveCapacity(count)
        for _ in 0..<count { keys.append(try reader.readBytes32()) }
        return keys
    }
}
