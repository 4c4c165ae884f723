package import Base
package import Crypto
package import Wire

/// The value of ANNOUNCE and UNANNOUNCE requests (`dht.md` 9.1).
package struct AnnounceMessage: DHTMessage {
    package var peer: PeerRecord?
    package var refresh: Bytes32?
    /// 64 bytes.
    package var signature: [UInt8]?
    /// Milliseconds since 1970; not signed. 0 is none.
    package var bump: UInt64

    package init(
        peer: PeerRecord?, refresh: Bytes32? = nil, signature: [UInt8]? = nil, bump: UInt64 = 0
    ) {
        self.peer = peer
        self.refresh = refresh
        self.signature = signature
        self.bump = bump
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        peer = flags & 1 != 0 ? try PeerRecord(from: &reader) : nil
        refresh = flags & 2 != 0 ? try reader.readBytes32() : nil
        signature = flags & 4 != 0 ? try reader.readBytes(signatureSize) : nil
        bump = flags & 8 != 0 ? try reader.readUInt() : 0
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeUInt8(
            (peer == nil ? 0 : 1) | (refresh == nil ? 0 : 2) | (signature == nil ? 0 : 4)
                | (bump == 0 ? 0 : 8))
        peer?.encode(into: &writer)
        if let refresh { writer.writeBytes32(refresh) }
        if let signature { writer.writeRaw(signature) }
        if bump != 0 { writer.writeUInt(bump) }
    }

    /// What is signed, 64 bytes: good for one target, one storing node and one of its tokens.
    ///
    /// - Parameter command: `.announce` or `.unannounce`.
    package static func signedBytes(
        for command: DHTCommand, target: Bytes32, node: Bytes32, token: Bytes32, peer: PeerRecord,
        refresh: Bytes32?
    ) -> [UInt8] {
        var hasher = Blake2bHasher()
        hasher.update(target)
        hasher.update(node)
        hasher.update(token)
        hasher.update(peer.encoded())
        if let refresh { hasher.update(refresh) }
        return DHTNamespace.of(command).bytes + hasher.finalize().bytes
    }

    /// A message signed for the node `node`, as that node's `token` allows.
    package static func signed(
        _ command: DHTCommand, by keyPair: KeyPair, target: Bytes32, node: Bytes32, token: Bytes32,
        relayAddresses: [NetworkEndpoint] = [], refresh: Bytes32? = nil, bump: UInt64 = 0
    ) -> AnnounceMessage {
        let peer = PeerRecord(publicKey: keyPair.publicKey, relayAddresses: relayAddresses)
        let bytes = signedBytes(
            for: command, target: target, node: node, token: token, peer: peer, refresh: refresh)
        return AnnounceMessage(
            peer: peer, refresh: refresh, signature: keyPair.sign(bytes), bump: bump)
    }

    /// Whether the peer itself signed this for `node` and `token`.
    package func isSigned(
        _ command: DHTCommand, target: Bytes32, node: Bytes32, token: Bytes32
    ) -> Bool {
        guard let peer, let signature else { return false }
        let bytes = Self.signedBytes(
            for: command, target: target, node: node, token: token, peer: peer, refresh: refresh)
        return verify(signature: signature, message: bytes, publicKey: peer.publicKey)
    }
}

/// Keeps the signatures and hashes of HyperDHT's commands apart (`dht.md` 9.2).
package enum DHTNamespace {
    /// `H(H("hyperswarm/dht") || command number)`.
    package static func of(_ command: DHTCommand) -> Bytes32 {
        switch command {
        case .announce: announce
        case .unannounce: unannounce
        case .mutablePut: mutablePut
        default: namespace("hyperswarm/dht", UInt8(clamping: command.number))
        }
    }

    private static let announce = namespace("hyperswarm/dht", 4)
    private static let unannounce = namespace("hyperswarm/dht", 5)
    private static let mutablePut = namespace("hyperswarm/dht", 6)
}
