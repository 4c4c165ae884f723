internal import Base
internal import Wire

/// What an observer on the wire reads of a DHT request (`dht.md` 3.1): enough to count it or, for
/// an attacker, to answer it.
struct RequestSummary {
    let transaction: UInt16
    let isInternal: Bool
    let command: UInt8
    let target: Bytes32?

    /// nil for anything but a well-formed request.
    init?(_ datagram: Span<UInt8>) {
        var reader = WireReader(datagram)
        guard let kind = try? reader.readUInt8(), kind == 0x03,
            let flags = try? reader.readUInt8(), let transaction = try? reader.readUInt16(),
            (try? reader.skip(6)) != nil
        else { return nil }
        for flag: UInt8 in [1, 2] where flags & flag != 0 {
            guard (try? reader.skip(Bytes32.count)) != nil else { return nil }
        }
        guard let command = try? reader.readUInt8() else { return nil }
        var target: Bytes32?
        if flags & 8 != 0 {
            guard let found = try? reader.readBytes32() else { return nil }
            target = found
        }
        self.transaction = transaction
        isInternal = flags & 4 != 0
        self.command = command
        self.target = target
    }
}
