import Base
import Testing

@testable import Chunks

@Suite struct XXH64Tests {
    @Test(
        arguments: [
            ("", 0, 0xef46_db37_51d8_e999),
            ("a", 0, 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0, 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0, 0xfbce_a83c_8a37_8bf1),
            ("xxhash", 20_141_025, 0xb559_b98d_844e_0635),
        ] as [(String, UInt64, UInt64)])
    func `published values are met`(text: String, seed: UInt64, expected: UInt64) {
        #expect(XXH64.hash(Array(text.utf8).span, seed: seed) == expected)
    }
}

@Suite struct PackFormatTests {
    private let reference = ChunkReference(
        address: Bytes32(repeating: 1), key: Bytes32(repeating: 2), length: 5)

    private func sealedPack(_ payloads: [[UInt8]], number: UInt64) -> [UInt8] {
        var pack = PackFormat.encodeHeader(number: number)
        var entries: [PackFormat.Entry] = []
        for (index, payload) in payloads.enumerated() {
            let reference = ChunkReference(
                address: Bytes32(repeating: UInt8(index)), key: .zero,
                length: UInt32(payload.count))
            PackFormat.encode(
                PackFormat.RecordHeader(
                    reference: reference, checksum: PackFormat.checksum(payload.span)),
                into: &pack)
            entries.append(
                PackFormat.Entry(
                    address: reference.address, offset: UInt32(pack.count),
                    length: reference.length))
            pack += payload
        }
        return pack + PackFormat.encodeSeal(entries, at: UInt64(pack.count), number: number)
    }

    private func index(of pack: [UInt8]) throws -> [PackFormat.Entry]? {
        let number = try PackFormat.decodeHeader(pack.span)
        let end = pack.count - PackFormat.trailerSize
        guard
            let trailer = try PackFormat.decodeTrailer(
                pack.span.extracting(end..<pack.count), packSize: UInt64(pack.count),
                number: number)
        else { return nil }
        return try PackFormat.decodeIndex(
            pack.span.extracting(Int(trailer.indexOffset)..<end), trailer: trailer)
    }

    @Test func `a pack that was sealed is read back`() throws {
        let pack = sealedPack([[1, 2, 3], [UInt8](repeating: 9, count: 1000)], number: 77)
        let entries = try #require(try index(of: pack))
        #expect(entries.map(\.length) == [3, 1000])
        #expect(entries[0].offset == 24 + 88)
        let start = Int(entries[1].offset)
        let header = try PackFormat.decodeRecordHeader(
            pack.span.extracting(start - PackFormat.recordHeaderSize..<start))
        #expect(header.payloadSize == 1000)
        #expect(
            header.checksum == PackFormat.checksum(pack.span.extracting(start..<start + 1000)))
        #expect(try #require(try index(of: sealedPack([], number: 1))).isEmpty)
    }

    @Test func `the bytes of a pack are pinned`() {
        let pack = sealedPack([[1, 2, 3]], number: 0x0102_0304)
        #expect(
            pack.hex
                == [
                    "686f6c647061636b01000000000000000403020100000000",
                    "63686e6b03000000",
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "a5e54e0cee133e74b61870f8c9d41638",
                    "010203",
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "7000000003000000",
                    "7300000000000000",
                    "0100000000000000",
                    "10871e5dfa3caee3",
                    "ba92c7366bace24a",
                    "7365616c7061636b",
                ].joined())
        #expect(pack.count == 24 + 88 + 3 + 40 + 40)
    }

    @Test func `an unsealed pack has no trailer`() throws {
        var pack = sealedPack([[1, 2, 3]], number: 5)
        pack.removeLast()
        #expect(try index(of: pack) == nil)
    }

    @Test func `a record header is refused when any byte of it changes`() throws {
        var bytes: [UInt8] = []
        let header = PackFormat.RecordHeader(reference: reference, checksum: 99)
        PackFormat.encode(header, into: &bytes)
        #expect(bytes.count == PackFormat.recordHeaderSize)
        #expect(try PackFormat.decodeRecordHeader(bytes.span) == header)
        for index in bytes.indices {
            var changed = bytes
            changed[index] ^= 0x10
            #expect(throws: PackError.self) { try PackFormat.decodeRecordHeader(changed.span) }
        }
        for count in 0..<bytes.count {
            #expect(throws: PackError.truncated) {
                try PackFormat.decodeRecordHeader(bytes.span.extracting(0..<count))
            }
        }
    }

    @Test func `index and trailer are refused when any byte of them changes`() throws {
        let pack = sealedPack([[1, 2, 3], [4, 5]], number: 5)
        for index in (pack.count - 120)..<pack.count {
            var changed = pack
            changed[index] ^= 1
            let entries = Result { try self.index(of: changed) }
            // A changed magic makes it an unsealed pack; everything else is damage.
            if case .success(let entries) = entries { #expect(entries == nil) }
        }
    }

    @Test func `a chunk that ends like a sealed pack does not pass for a trailer`() throws {
        let forged = sealedPack([[1, 2, 3]], number: 0)
        var pack = PackFormat.encodeHeader(number: 0x1234_5678_9abc_def0)
        pack += forged.dropFirst(PackFormat.headerSize)
        #expect(throws: PackError.self) { try index(of: pack) }
    }

    @Test func `entries outside the pack are refused`() throws {
        for (offset, length) in [(0, 3), (112, 4), (200, 3), (.max, .max)] as [(UInt32, UInt32)] {
            var pack = Array(sealedPack([[1, 2, 3]], number: 5).dropLast(80))
            let entry = PackFormat.Entry(
                address: reference.address, offset: offset, length: length)
            pack += PackFormat.encodeSeal([entry], at: UInt64(pack.count), number: 5)
            #expect(throws: PackError.damaged("pack index")) { try index(of: pack) }
        }
    }

    @Test func `random bytes never trap`() {
        var random = SeededRandom(seed: 3)
        for _ in 0..<2000 {
            let bytes = random.bytes(Int.random(in: 0...120, using: &random))
            _ = try? PackFormat.decodeHeader(bytes.span)
            _ = try? PackFormat.decodeRecordHeader(bytes.span)
            _ = try? PackFormat.decodeTrailer(bytes.span, packSize: 1 << 20, number: 0)
        }
    }
}
