internal import Wire

/// Encodes messages, alone or in batches:
///
///     alone  channel uint, type uint, payload
///     batch  00 00, channel uint, then for each message: length uint, type uint, payload;
///            length 0: another channel uint follows, for the messages after it
struct Outbox: Sendable {
    private var messages: [[UInt8]] = []
    private var corks = 0
    /// The batch being filled; empty if none is.
    private var batch = WireWriter()
    private var batchChannel: UInt64 = 0

    mutating func cork() { corks += 1 }

    mutating func uncork() {
        precondition(corks > 0, "uncork without cork")
        corks -= 1
        if corks == 0 { finishBatch() }
    }

    /// - Parameter channel: the id on this side; 0 for control messages.
    mutating func add(channel: UInt64, type: UInt64, payload: Span<UInt8>) {
        let entrySize = wireSize(ofUInt: type) + payload.count
        guard corks > 0 else {
            var writer = WireWriter(reserving: wireSize(ofUInt: channel) + entrySize)
            writer.writeUInt(channel)
            writer.writeUInt(type)
            writer.writeRaw(payload)
            messages.append(writer.bytes)
            return
        }
        if batch.bytes.count + entrySize > Limits.batchSizeMax { finishBatch() }
        if batch.bytes.isEmpty {
            batch.writeUInt8(0)
            batch.writeUInt8(0)
            batch.writeUInt(channel)
        } else if batchChannel != channel {
            batch.writeUInt8(0)
            batch.writeUInt(channel)
        }
        batchChannel = channel
        batch.writeUInt(entrySize)
        batch.writeUInt(type)
        batch.writeRaw(payload)
    }

    /// What is ready to be sent, in order; an unfinished batch is not.
    mutating func take() -> [[UInt8]] {
        var taken: [[UInt8]] = []
        swap(&taken, &messages)
        return taken
    }

    private mutating func finishBatch() {
        guard !batch.bytes.isEmpty else { return }
        messages.append(batch.bytes)
        batch = WireWriter()
    }
}
