import Base
import FileTree
import Testing
import Wire

@Suite struct BlockCodecTests {
    private let writers = WriterTable()
    private let own: WriterSlot
    private let other: WriterSlot

    init() {
        own = writers.insert(Device.key(named: "own"))!
        other = writers.insert(Device.key(named: "other"))!
    }

    private let time = HybridTime(milliseconds: 1_700_000_000_123, counter: 7)

    private func clock(own number: UInt64, other count: UInt64) -> Clock {
        var clock = Clock()
        clock[own] = number
        clock[other] = count
        return clock
    }

    private func everyOperation() -> [Operation] {
        let object = OperationID(writer: other, block: 3, index: 0)
        let entry = OperationID(writer: other, block: 4, index: 16383)
        let here = OperationID(writer: own, block: 0, index: 0)
        let stamp = Timestamp(seconds: 1_700_000_100, nanoseconds: 999_999_999)
        let ancient = Timestamp(seconds: .min, nanoseconds: 1)
        let key = Device.key(named: "key")
        return [
            .make(.init(kind: .file, mode: 0o7777, uid: 0, gid: .max, created: stamp)),
            .make(
                .init(
                    kind: .symlink, mode: 0, uid: 1, gid: 2, created: ancient,
                    target: [UInt8](repeating: 65, count: 4095))),
            .make(
                .init(
                    kind: .blockDevice, mode: 0o600, uid: 0, gid: 0, created: .epoch,
                    device: .max)),
            .place(.init(.new(here), in: .root, named: Array("näme".utf8))),
            .place(.init(.existing(entry, from: .root), in: .root, named: [255])),
            .place(
                .init(
                    .existing(entry, from: object), in: .root,
                    named: [UInt8](repeating: 97, count: 255))),
            .remove(.init(entry, from: .root)),
            .remove(.init(entry, from: object, version: object)),
            .write(
                .init(
                    object: here, parents: [], size: 0, modified: stamp, content: [])),
            .write(
                .init(
                    object: object, parents: [object, entry], size: Limits.fileSizeMax,
                    modified: Timestamp(seconds: .max), content: [1, 2, 3])),
            .setAttribute(.init(object: .root)),
            .setAttribute(
                .init(
                    object: object, mode: 0, uid: .max, gid: 7, modified: stamp,
                    accessed: ancient)),
            .setXattr(.init(object: object, name: [97], value: [])),
            .setXattr(
                .init(
                    object: object, name: [97],
                    value: [UInt8](repeating: 1, count: Limits.xattrValueSizeMax))),
            .removeXattr(.init(object: object, name: [97])),
            .admit(.init(device: key, log: nil, role: .keeper, name: [])),
            .admit(
                .init(device: key, log: .zero, role: .owner, name: [97], invite: key)),
            .retire(.init(device: key)),
            .revoke(.init(device: key, length: Limits.blocksPerLogMax)),
            .invite(.init(publicKey: key, role: .reader, expiresMilliseconds: 9, uses: .max)),
            .set(.init(key: [97], value: [1, 2])),
            .checkpoint(.init(digest: key)),
        ]
    }

    @Test func `every operation comes back as it was`() throws {
        var encoder = BlockCodec(writer: own)
        var decoder = BlockCodec(writer: own)
        let operations: [Operation?] = everyOperation()
        let block = Block(time: time, clock: clock(own: 0, other: 5), operations: operations)
        let bytes = try encoder.encode(block, writers: writers)
        #expect(try decoder.decode(bytes.span, writers: writers) == block)
        #expect(encoder == decoder)
        #expect(try BlockCodec(payload: encoder.payload) == encoder)

        // The second block names the other log by its number.
        let next = Block(
            time: HybridTime(rawValue: time.rawValue + 1), clock: clock(own: 1, other: 5),
            operations: [
                .remove(.init(OperationID(writer: other, block: 4, index: 1), from: .root))
            ]
        )
        let second = try encoder.encode(next, writers: writers)
        #expect(second.count < 24)
        #expect(try decoder.decode(second.span, writers: writers) == next)
    }

    @Test func `a device that numbers logs otherwise reads the same`() throws {
        let elsewhere = WriterTable()
        for index in 0..<5 { _ = elsewhere.insert(Device.key(named: "stranger \(index)")) }
        let slot = elsewhere.insert(Device.key(named: "own"))!
        var encoder = BlockCodec(writer: own)
        var decoder = BlockCodec(writer: slot)
        let object = OperationID(writer: other, block: 3, index: 9)
        let block = Block(
            time: time, clock: clock(own: 0, other: 5),
            operations: [.setAttribute(.init(object: object, mode: 1))])
        let bytes = try encoder.encode(block, writers: writers)
        let read = try decoder.decode(bytes.span, writers: elsewhere)
        let known = elsewhere.slot(of: Device.key(named: "other"))!
        #expect(known != other)
        let here = OperationID(writer: known, block: 3, index: 9)
        #expect(read.operations == [.setAttribute(.init(object: here, mode: 1))])
        #expect(read.clock[known] == 5)
    }

    @Test func `creating an empty file takes less than sixty bytes an operation`() throws {
        var codec = BlockCodec(writer: own)
        let stamp = Timestamp(seconds: 1_700_000_000, nanoseconds: 123_456_789)
        let object = OperationID(writer: own, block: 0, index: 0)
        let block = Block(
            time: time, clock: clock(own: 0, other: 0),
            operations: [
                .make(.init(kind: .file, mode: 0o644, uid: 1000, gid: 1000, created: stamp)),
                .place(.init(.new(object), in: .root, named: Array("letter.txt".utf8))),
            ])
        let bytes = try codec.encode(block, writers: writers)
        #expect(bytes.count < 70)
    }

    @Test func `an operation that breaks a rule is left out and keeps its index`() throws {
        // Frames by hand: an unknown kind, a bad name, bytes left over, a reference forward, a good one.
        var output = WireWriter()
        output.writeUInt8(1)
        output.writeUInt64(time.rawValue)
        output.writeUInt(0)
        output.writeUInt(0)
        let digest = [13] + [UInt8](repeating: 1, count: 32)
        let frames: [[UInt8]] = [
            [99, 1, 2], [], [2, 0, 0, 0, 1, 47], [2, 0, 0, 0, 2, 46, 46],
            [12, 1, 97, 1, 98, 0],
            [7, 1, 0, 5, 1, 97], [7, 1, 1, 0, 1, 97], [7, 3, 0, 0, 1, 97], digest,
        ]
        for frame in frames { output.writeBuffer(frame) }
        var codec = BlockCodec(writer: own)
        let block = try codec.decode(output.bytes.span, writers: writers)
        #expect(block.operations.count == frames.count)
        #expect(block.operations.dropLast().allSatisfy { $0 == nil })
        #expect(
            block.operations.last
                == .checkpoint(.init(digest: Bytes32(repeating: 1))))
    }

    @Test(arguments: ["", ".", "..", "/", "a/b", "a\0b", String(repeating: "n", count: 256)])
    func `a bad name is refused`(_ name: String) {
        #expect(!isEntryName(Array(name.utf8)))
        #expect(
            !Operation.place(.init(.new(.root), in: .root, named: Array(name.utf8))).isWellFormed)
    }

    @Test(arguments: ["a", "...", " ", "\u{202e}", "\\", String(repeating: "n", count: 255)])
    func `any other name is a name`(_ name: String) {
        #expect(isEntryName(Array(name.utf8)))
    }

    @Test func `a block out of order or of another format is refused whole`() throws {
        var encoder = BlockCodec(writer: own)
        let first = Block(time: time, clock: clock(own: 0, other: 1), operations: [])
        let bytes = try encoder.encode(first, writers: writers)
        var decoder = BlockCodec(writer: own)
        _ = try decoder.decode(bytes.span, writers: writers)
        let before = decoder
        #expect(throws: BlockError.self) { try decoder.decode(bytes.span, writers: writers) }
        var other = bytes
        other[0] = 2
        #expect(throws: BlockError.unknownFormat(2)) {
            try decoder.decode(other.span, writers: writers)
        }
        #expect(throws: BlockError.self) {
            try decoder.decode(
                [UInt8](repeating: 0, count: Limits.blockSizeMax + 1).span,
                writers: writers)
        }
        #expect(decoder == before)
    }

    @Test(arguments: 0..<20)
    func `hostile bytes give an error or a block, and nothing else`(_ round: Int) throws {
        var rng = SeededRandom(seed: UInt64(round))
        var encoder = BlockCodec(writer: own)
        let block = Block(
            time: time, clock: clock(own: 0, other: 5), operations: everyOperation())
        let good = try encoder.encode(block, writers: writers)
        for _ in 0..<300 {
            var bytes = good
            switch Int.random(in: 0..<4, using: &rng) {
            case 0: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &rng))
            case 1: bytes = rng.bytes(Int.random(in: 0..<200, using: &rng))
            case 2:
                let start = Int.random(in: 0..<bytes.count, using: &rng)
                bytes.replaceSubrange(start..., with: rng.bytes(40))
            default:
                for _ in 0..<Int.random(in: 1..<9, using: &rng) {
                    let size = min(bytes.count, 400)
                    bytes[Int.random(in: 0..<size, using: &rng)] = UInt8.random(
                        in: 0...255, using: &rng)
                }
            }
            let table = WriterTable()
            let slot = table.insert(Device.key(named: "own"))!
            var decoder = BlockCodec(writer: slot)
            let before = decoder
            do {
                let read = try decoder.decode(bytes.span, writers: table)
                // What was read can be applied, refused operations and all.
                let tree = try FileTree(storage: MemoryTreeStorage(), writers: table)
                tree.begin()
                let isCausal = read.clock.elements.isEmpty
                let outcome = try tree.apply(read, from: slot, number: 0)
                #expect(isCausal == (outcome != .early), "round \(round)")
                _ = try tree.finish()
            } catch is BlockError {
                #expect(decoder == before, "round \(round)")
            }
        }
    }
}
