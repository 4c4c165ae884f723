package import Base
package import Crypto
package import Wire

/// A signed value as it is stored and as MUTABLE_GET answers it (`dht.md` 9.1).
package struct MutableValue: DHTMessage {
    package var sequence: UInt64
    package var value: [UInt8]
    /// 64 bytes.
    package var signature: [UInt8]

    package init(sequence: UInt64, value: [UInt8], signature: [UInt8]) {
        self.sequence = sequence
        self.value = value
        self.signature = signature
    }

    /// Signs `value` under `sequence`, at most `Limits.integerMax`.
    package init(sequence: UInt64, value: [UInt8], signedBy keyPair: KeyPair) {
        self.sequence = sequence
        self.value = value
        signature = keyPair.sign(Self.signedBytes(sequence: sequence, value: value))
    }

    package init(from reader: inout WireReader) throws(WireError) {
        sequence = try reader.readUInt()
        value = try reader.readBuffer(max: DHTLimits.valueSizeMax)
        signature = try reader.readBytes(signatureSize)
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeUInt(sequence)
        writer.writeBuffer(value)
        writer.writeRaw(signature)
    }

    /// What is signed, 64 bytes. Neither the key nor the target is part of it.
    package static func signedBytes(sequence: UInt64, value: [UInt8]) -> [UInt8] {
        var writer = WireWriter(reserving: value.count + 12)
        writer.writeUInt(sequence)
        writer.writeBuffer(value)
        return DHTNamespace.of(.mutablePut).bytes + Blake2b.hash256(writer.bytes).bytes
    }

    package func isSigned(by publicKey: Bytes32) -> Bool {
        let bytes = Self.signedBytes(sequence: sequence, value: value)
        return verify(signature: signature, message: bytes, publicKey: publicKey)
    }
}

/// The value of MUTABLE_PUT requests.
package struct MutablePutMessage: DHTMessage {
    package var publicKey: Bytes32
    package var content: MutableValue

    package init(publicKey: Bytes32, content: MutableValue) {
        self.publicKey = publicKey
        self.content = content
    }

    package init(from reader: inout WireReader) throws(WireError) {
        publicKey = try reader.readBytes32()
        content = try MutableValue(from: &reader)
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeBytes32(publicKey)
        content.encode(into: &writer)
    }
}
