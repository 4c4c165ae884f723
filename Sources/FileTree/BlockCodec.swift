package import Base
package import Wire

/// Why the bytes of a block mean nothing. The log that holds them goes no further.
package enum BlockError: Error, Equatable, Sendable {
    case malformed(WireError)
    case unknownFormat(UInt8)
    case invalid(String)
    /// The share has more logs than a device can number.
    case tooManyWriters
}

/// Blocks of one log to bytes and back, one after the other from the first.
///
/// A block is written relative to the one before it: keys of other logs appear once in a log and then
/// go by a small number, and the clock tells only what changed. So the codec has state; whoever stores the
/// log's blocks stores `payload` in the same transaction.
///
///     block       format     1 byte, 1
///                 time       8 bytes, hybrid time, little-endian
///                 new keys   count, 32 bytes each: logs named for the first time by this one
///                 clock      count, then (log, how many blocks more) each, logs ascending
///                 operations to the end
///     operation   length     of the rest
///                 kind       1 byte
///                 body       by kind: `OperationCodec.swift`
///     log         number in order of first mention, 0 is the log itself
///     reference   0: the root directory, or
///                 log + 1, blocks back from the last one seen of that log, index
///
/// Integers are compact-encoding varints unless a size is given. A reference counts back from the clock, so
/// what a block had not seen cannot be written down.
package struct BlockCodec: Equatable, Sendable {
    static let format: UInt8 = 1

    /// The number of the next block.
    package private(set) var number: UInt64 = 0
    /// The time of the last block.
    package private(set) var time: HybridTime = .zero
    /// What the last block had seen of other logs.
    package private(set) var clock = Clock()
    /// The logs by their number in this log; the first is the log itself.
    package private(set) var writers: [WriterSlot]

    package var writer: WriterSlot { writers[0] }

    package init(writer: WriterSlot) { writers = [writer] }

    /// - Parameter writers: not empty, each once.
    package init(number: UInt64, time: HybridTime, clock: Clock, writers: [WriterSlot]) {
        self.number = number
        self.time = time
        self.clock = clock
        self.writers = writers
    }

    // MARK: Encoding

    /// - Precondition: the block's own element of the clock is `number`, its time is later than that of
    ///   the block before, nothing in the clock goes back, every operation is present and well-formed.
    /// - Throws: `StorageError.corrupt` if an operation refers to what the clock does not cover; nothing
    ///   has changed then.
    package mutating func encode(_ block: Block, writers table: WriterTable)
        throws(StorageError) -> [UInt8]
    {
        precondition(
            number == 0 || block.time > time, "time goes back: \(block.time) after \(time)")
        precondition(block.clock[writer] == number, "block \(number) has seen \(block.clock)")
        precondition(block.operations.count <= Limits.operationsPerBlockMax)

        let changes = clockChanges(to: block.clock)
        let known = Set(writers)
        let newWriters = changes.map(\.writer).filter { !known.contains($0) }
        precondition(newWriters.count <= Limits.newWritersPerBlockMax)
        writers.append(contentsOf: newWriters)
        let numbers = logNumbers()

        var output = WireWriter(reserving: 256)
        output.writeUInt8(Self.format)
        output.writeUInt64(block.time.rawValue)
        output.writeUInt(newWriters.count)
        for slot in newWriters { output.writeBytes32(table.key(of: slot)) }
        output.writeUInt(changes.count)
        let numbered = changes.map { (number: numbers[$0.writer] ?? 0, count: $0.count) }
        for change in numbered.sorted(by: { $0.number < $1.number }) {
            output.writeUInt(change.number)
            output.writeUInt(change.count)
        }

        var encoder = OperationEncoder(
            number: number, time: block.time, clock: block.clock, writer: writer, logs: numbers)
        for case let operation? in block.operations {
            precondition(operation.isWellFormed, "\(operation) breaks a rule")
            output.writeBuffer(encoder.encode(operation))
        }
        if let id = encoder.unseen {
            writers.removeLast(newWriters.count)
            throw .corrupt(
                what:
                    "block \(number) of log \(table.key(of: writer)) would refer to \(id), which it"
                    + " has not seen: run `holdfast check --rebuild`")
        }
        advance(to: block)
        return output.bytes
    }

    /// How much more the clock covers than that of the block before, by slot; of other logs.
    private func clockChanges(to new: Clock) -> [Clock.Element] {
        new.elements.compactMap { element in
            guard element.writer != writer else { return nil }
            let before = clock[element.writer]
            precondition(element.count >= before, "the clock of \(element.writer) goes back")
            guard element.count > before else { return nil }
            return Clock.Element(writer: element.writer, count: element.count - before)
        }
    }

    private func logNumbers() -> [WriterSlot: Int] {
        var numbers: [WriterSlot: Int] = [:]
        for (index, slot) in writers.enumerated() { numbers[slot] = index }
        return numbers
    }

    private mutating func advance(to block: Block) {
        number += 1
        time = block.time
        clock = block.clock
        clock[writer] = 0
    }

    // MARK: Decoding

    /// Decodes the next block of the log. Operations that cannot be decoded or are not well-formed come
    /// out as nil and keep their index. Logs that the table does not know are added to it.
    ///
    /// - Throws: `BlockError`; nothing has changed then, but for slots given to logs named in a block
    ///   that was otherwise in order.
    package mutating func decode(_ bytes: Span<UInt8>, writers table: WriterTable)
        throws(BlockError) -> Block
    {
        guard bytes.count <= Limits.blockSizeMax else { throw .invalid("block too large") }
        guard number < Limits.blocksPerLogMax else { throw .invalid("log too long") }
        var reader = WireReader(bytes)
        let header: Header
        let bodies: [Range<Int>]
        do {
            header = try readHeader(&reader)
            bodies = try Self.readFrames(&reader, total: bytes.count)
        } catch let error as BlockError {
            throw error
        } catch let error as WireError {
            throw .malformed(error)
        } catch {
            throw .invalid("\(error)")
        }
        let newSlots = try slots(of: header.newKeys, in: table)

        var next = self
        next.writers.append(contentsOf: newSlots)
        var seen = clock
        for change in header.clockChanges {
            let slot = next.writers[change.log]
            let count = seen[slot] + change.count
            guard count <= Limits.blocksPerLogMax else { throw .invalid("clock too large") }
            seen[slot] = count
        }
        seen[writer] = number

        var block = Block(time: header.time, clock: seen, operations: [])
        block.operations.reserveCapacity(bodies.count)
        var decoder = OperationDecoder(
            number: number, time: header.time, clock: seen, logs: next.writers)
        for body in bodies {
            block.operations.append(decoder.decode(bytes.extracting(body)))
        }
        next.advance(to: block)
        self = next
        return block
    }

    /// The time of a block, whatever came before it.
    package static func time(of bytes: Span<UInt8>) -> HybridTime? {
        var reader = WireReader(bytes)
        guard (try? reader.readUInt8()) == format, let time = try? reader.readUInt64() else {
            return nil
        }
        return HybridTime(rawValue: time)
    }

    private struct Header {
        var time: HybridTime
        var newKeys: [Bytes32]
        var clockChanges: [(log: Int, count: UInt64)]
    }

    private func readHeader(_ reader: inout WireReader) throws -> Header {
        let format = try reader.readUInt8()
        guard format == Self.format else { throw BlockError.unknownFormat(format) }
        let blockTime = HybridTime(rawValue: try reader.readUInt64())
        guard number == 0 || blockTime > time else { throw BlockError.invalid("time goes back") }

        let keyCount = try reader.readCount(
            max: Limits.newWritersPerBlockMax, minimumElementSize: Bytes32.count)
        var newKeys: [Bytes32] = []
        newKeys.reserveCapacity(keyCount)
        for _ in 0..<keyCount { newKeys.append(try reader.readBytes32()) }

        let logCount = writers.count + keyCount
        let changeCount = try reader.readCount(max: logCount, minimumElementSize: 2)
        var changes: [(log: Int, count: UInt64)] = []
        changes.reserveCapacity(changeCount)
        for _ in 0..<changeCount {
            let log = Int(try reader.readUInt(max: UInt64(logCount - 1)))
            let count = try reader.readUInt(max: Limits.blocksPerLogMax)
            guard log > (changes.last?.log ?? 0), count > 0 else {
                throw BlockError.invalid("clock out of order")
            }
            changes.append((log, count))
        }
        return Header(time: blockTime, newKeys: newKeys, clockChanges: changes)
    }

    /// The operations of a block that refer to none: those on members and settings, and checkpoints. For
    /// readers that do not know the blocks before it.
    package static func standaloneOperations(in bytes: Span<UInt8>) throws(BlockError)
        -> (time: HybridTime, operations: [(index: Int, operation: Operation)])
    {
        guard bytes.count <= Limits.blockSizeMax else { throw .invalid("block too large") }
        var reader = WireReader(bytes)
        do {
            guard try reader.readUInt8() == format else { throw BlockError.invalid("format") }
            let time = HybridTime(rawValue: try reader.readUInt64())
            let keys = try reader.readCount(
                max: Limits.newWritersPerBlockMax, minimumElementSize: Bytes32.count)
            try reader.skip(keys * Bytes32.count)
            for _
                in 0..<(try reader.readCount(
                    max: Int(WriterSlot.max) + 1, minimumElementSize: 2))
            {
                _ = try reader.readUInt()
                _ = try reader.readUInt()
            }
            let bodies = try readFrames(&reader, total: bytes.count)
            var decoder = OperationDecoder(number: 0, time: time, clock: Clock(), logs: [.none])
            let operations = bodies.enumerated().compactMap { index, body in
                decoder.decode(bytes.extracting(body)).flatMap { operation in
                    operation.refersToNone ? (index, operation) : nil
                }
            }
            return (time, operations)
        } catch let error as BlockError {
            throw error
        } catch let error as WireError {
            throw .malformed(error)
        } catch {
            throw .invalid("\(error)")
        }
    }

    /// Where the operations lie in the block.
    private static func readFrames(_ reader: inout WireReader, total: Int) throws -> [Range<Int>] {
        var bodies: [Range<Int>] = []
        while !reader.isAtEnd {
            guard bodies.count < Limits.operationsPerBlockMax else {
                throw BlockError.invalid("too many operations")
            }
            let size = Int(try reader.readUInt(max: UInt64(Limits.operationSizeMax)))
            let start = total - reader.remaining
            try reader.skip(size)
            bodies.append(start..<start + size)
        }
        return bodies
    }

    private func slots(of keys: [Bytes32], in table: WriterTable) throws(BlockError)
        -> [WriterSlot]
    {
        let known = Set(writers.map { table.key(of: $0) })
        guard Set(keys).count == keys.count, known.isDisjoint(with: keys), !keys.contains(.zero)
        else { throw .invalid("a log named twice") }
        var result: [WriterSlot] = []
        for key in keys {
            guard let slot = table.insert(key) else { throw .tooManyWriters }
            result.append(slot)
        }
        return result
    }

    // MARK: Persistence

    /// The state, for `init(payload:)` on this device.
    package var payload: [UInt8] {
        var output = WireWriter(reserving: 32 + writers.count * 12)
        output.writeUInt(number)
        output.writeUInt64(time.rawValue)
        output.writeUInt(writers.count)
        for slot in writers {
            output.writeUInt16(slot.rawValue)
            output.writeUInt(clock[slot])
        }
        return output.bytes
    }

    /// - Throws: `StorageError.corrupt` if `payload` is not what `payload` gave.
    package init(payload: [UInt8]) throws(StorageError) {
        do {
            var reader = WireReader(payload.span)
            number = try reader.readUInt()
            time = HybridTime(rawValue: try reader.readUInt64())
            let count = try reader.readCount(max: Int(WriterSlot.max) + 1, minimumElementSize: 3)
            guard count > 0 else { throw WireError.invalid("no writer") }
            writers = []
            for _ in 0..<count {
                let slot = try reader.readUInt16()
                guard slot <= WriterSlot.max else { throw WireError.invalid("slot") }
                writers.append(WriterSlot(rawValue: slot))
                clock[WriterSlot(rawValue: slot)] = try reader.readUInt()
            }
        } catch {
            throw .corrupt(what: "codec state: \(error); rebuild the view")
        }
    }
}
