internal import Wire

/// The 20 bytes at the front of every UDX packet (version 1).
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | 0xff |
/// | 1 | 1 | version, 1 |
/// | 2 | 1 | kind |
/// | 3 | 1 | data offset: bytes between the header and the payload |
/// | 4 | 4 | id of the receiver's stream |
/// | 8 | 4 | receive window of the sender, in bytes |
/// | 12 | 4 | sequence number of the packet |
/// | 16 | 4 | acknowledgement: the next sequence number expected |
///
/// Numbers are little endian.
package struct UDXHeader: Equatable, Sendable {
    /// Flag bits. No bit is set in a plain acknowledgement.
    package struct Kind: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let acknowledgement: Kind = []
        /// The payload is stream data. Takes one sequence number.
        package static let data = Kind(rawValue: 1)
        /// Last packet in this direction, with or without data. Takes one sequence number.
        package static let end = Kind(rawValue: 2)
        /// Runs of sequence numbers that have arrived follow the header.
        package static let selective = Kind(rawValue: 4)
        /// The payload is one unordered message.
        package static let message = Kind(rawValue: 8)
        /// The sender has dropped the stream.
        package static let destroy = Kind(rawValue: 16)
        /// Asks for an acknowledgement at once.
        package static let heartbeat = Kind(rawValue: 32)
    }

    package static let size = 20

    package var kind: Kind
    package var dataOffset: UInt8
    package var streamID: UInt32
    package var window: UInt32
    package var sequence: UInt32
    package var acknowledgement: UInt32

    package init(
        kind: Kind, dataOffset: UInt8 = 0, streamID: UInt32, window: UInt32, sequence: UInt32,
        acknowledgement: UInt32
    ) {
        self.kind = kind
        self.dataOffset = dataOffset
        self.streamID = streamID
        self.window = window
        self.sequence = sequence
        self.acknowledgement = acknowledgement
    }

    /// Whether a datagram has the form of a UDX packet. Its stream may be unknown all the same.
    package static func isUDX(_ datagram: Span<UInt8>) -> Bool {
        datagram.count >= size && datagram[0] == 0xff && datagram[1] == 1
    }

    /// The header of a datagram, or nil if it is not a UDX packet.
    package static func parse(_ datagram: Span<UInt8>) -> UDXHeader? {
        guard isUDX(datagram) else { return nil }
        return UDXHeader(
            kind: Kind(rawValue: datagram[2]), dataOffset: datagram[3],
            streamID: readUInt32(datagram, at: 4), window: readUInt32(datagram, at: 8),
            sequence: readUInt32(datagram, at: 12),
            acknowledgement: readUInt32(datagram, at: 16))
    }

    /// Appends the 20 bytes.
    package func write(into bytes: inout [UInt8]) {
        var encoded = InlineArray<20, UInt8>(repeating: 0)
        encoded[0] = 0xff
        encoded[1] = 1
        encoded[2] = kind.rawValue
        encoded[3] = dataOffset
        for index in 0..<4 {
            let shift = UInt32(8 * index)
            encoded[4 + index] = UInt8(truncatingIfNeeded: streamID >> shift)
            encoded[8 + index] = UInt8(truncatingIfNeeded: window >> shift)
            encoded[12 + index] = UInt8(truncatingIfNeeded: sequence >> shift)
            encoded[16 + index] = UInt8(truncatingIfNeeded: acknowledgement >> shift)
        }
        bytes.append(copying: encoded.span)
    }

    /// The caller has checked that four bytes are there.
    static func readUInt32(_ bytes: Span<UInt8>, at offset: Int) -> UInt32 {
        UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8
            | UInt32(bytes[offset + 2]) << 16 | UInt32(bytes[offset + 3]) << 24
    }
}

/// Sequence numbers count packets modulo 2^32.
extension UInt32 {
    /// Whether this number comes before `other`, on the shorter way around.
    func precedes(_ other: UInt32) -> Bool { Int32(bitPattern: self &- other) < 0 }
}
