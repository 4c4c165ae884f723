package import Base
package import Wire

/// Who can be reached under a target, and through which nodes (`dht.md` 9.1, "peer").
///
/// Nothing in it is proven to whoever reads it: a hint, no more.
package struct PeerRecord: DHTMessage {
    package var publicKey: Bytes32
    /// At most `DHTLimits.relayAddressesReadMax` are read; storing nodes keep the first three.
    package var relayAddresses: [NetworkEndpoint]

    package init(publicKey: Bytes32, relayAddresses: [NetworkEndpoint] = []) {
        self.publicKey = publicKey
        self.relayAddresses = relayAddresses
    }

    package init(from reader: inout WireReader) throws(WireError) {
        publicKey = try reader.readBytes32()
        relayAddresses = try reader.readEndpoints(max: DHTLimits.relayAddressesReadMax)
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeBytes32(publicKey)
        writer.writeEndpoints(relayAddresses)
    }
}

/// What a node answers to LOOKUP.
package struct LookupReply: DHTMessage {
    package var peers: [PeerRecord]
    /// Milliseconds since 1970: when somebody last called for attention at this topic; 0 for never.
    package var bump: UInt64

    package init(peers: [PeerRecord], bump: UInt64 = 0) {
        self.peers = peers
        self.bump = bump
    }

    package init(from reader: inout WireReader) throws(WireError) {
        let count = try reader.readCount(
            max: DHTLimits.peersReadMax, minimumElementSize: Bytes32.count + 1)
        peers = []
        peers.reserveCapacity(count)
        for _ in 0..<count { try peers.append(PeerRecord(from: &reader)) }
        // Older nodes end here.
        bump = reader.isAtEnd ? 0 : try reader.readUInt()
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeUInt(peers.count)
        for peer in peers { peer.encode(into: &writer) }
        writer.writeUInt(bump)
    }
}
