import Base
import Testing
import Wire

struct WireReaderTests {
    private func refusal(
        of bytes: [UInt8], _ read: (inout WireReader) throws -> Void
    ) -> WireError? {
        var reader = WireReader(bytes.span)
        do {
            try read(&reader)
            return nil
        } catch {
            return error as? WireError
        }
    }

    @Test func `a length of 2^53 is refused before anything is reserved`() {
        let hostile: [UInt8] = [0xff, 0, 0, 0, 0, 0, 0, 0x20, 0, 1]
        let most: UInt64 = 9_007_199_254_740_991
        let refused = WireError.tooLarge(most + 1, limit: most)
        #expect(refusal(of: hostile) { _ = try $0.readBuffer(max: .max) } == refused)
        #expect(refusal(of: hostile) { _ = try $0.readString(max: .max) } == refused)
        #expect(refusal(of: hostile) { _ = try $0.readCount(max: .max) } == refused)
    }

    @Test func `a length that would be negative is refused`() {
        let hostile = [UInt8](repeating: 0xff, count: 9)
        let refused = WireError.tooLarge(.max, limit: Limits.integerMax)
        #expect(refusal(of: hostile) { _ = try $0.readBuffer(max: .max) } == refused)
        #expect(refusal(of: hostile) { _ = try $0.readUInt32Array() } != nil)
        #expect(refusal(of: hostile) { _ = try $0.readBigUInt(max: .max) } != nil)
        #expect(refusal(of: [1, 2]) { _ = try $0.readBytes(-1) } != nil)
        #expect(refusal(of: [1, 2]) { _ = try $0.readBytes(.min) } != nil)
    }

    @Test func `the greatest length of a varint is checked against the bytes left`() {
        let hostile: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 1]
        #expect(
            refusal(of: hostile) { _ = try $0.readBuffer(max: .max) }
                == .truncated(needed: Int(Limits.integerMax), remaining: 1))
        #expect(
            refusal(of: hostile) { _ = try $0.readCount(max: .max, minimumElementSize: 2048) }
                == .truncated(needed: .max, remaining: 1))
    }

    @Test func `a count is checked against the least its elements take`() throws {
        #expect(refusal(of: [2, 0, 0, 0]) { _ = try $0.readCount(minimumElementSize: 2) } != nil)
        let fitting: [UInt8] = [2, 0, 0, 0, 0]
        var reader = WireReader(fitting.span)
        let count = try reader.readCount(minimumElementSize: 2)
        #expect(count == 2)
    }

    @Test func `the limit of a field is its own`() {
        #expect(refusal(of: [5]) { _ = try $0.readUInt(max: 4) } == .tooLarge(5, limit: 4))
        #expect(refusal(of: [5]) { _ = try $0.readBuffer(max: 4) } == .tooLarge(5, limit: 4))
        #expect(refusal(of: [5]) { _ = try $0.readBuffer(max: -1) } == .tooLarge(5, limit: 0))
    }

    @Test func `text that is not UTF-8 is refused`() {
        #expect(
            refusal(of: [2, 0xc3, 0x28]) { _ = try $0.readString(max: 9) } == .invalid("UTF-8"))
        #expect(refusal(of: [1, 0xff]) { _ = try $0.readString(max: 9) } == .invalid("UTF-8"))
        #expect(refusal(of: [2, 0, 0xd8]) { _ = try $0.readUTF16(max: 9) } == .invalid("UTF-16"))
        #expect(refusal(of: [1, 0]) { _ = try $0.readUTF16(max: 9) } != nil)
        #expect(refusal(of: [2, 0xc3, 0xb8]) { _ = try $0.readASCII(max: 9) } != nil)
    }

    @Test func `a value nested without end is refused`() {
        let arrays =
            [UInt8](repeating: 0, count: 0) + (0..<10_000).flatMap { _ in [7, 1] as [UInt8] }
        #expect(refusal(of: arrays) { _ = try $0.readValue() } == .invalid("nesting: too deep"))
        #expect(refusal(of: [10]) { _ = try $0.readValue() } == .tooLarge(10, limit: 9))
    }

    @Test func `the reader goes on where it was`() throws {
        let bytes: [UInt8] = [1, 2, 3, 4, 5]
        var reader = WireReader(bytes.span)
        try reader.skip(1)
        let number = try reader.readUInt16()
        let position = reader.position
        let rest = reader.readRest()
        let (isAtEnd, remaining) = (reader.isAtEnd, reader.remaining)
        let nothing = reader.readRest()
        #expect(number == 0x0302)
        #expect(position == 3)
        #expect(rest == [4, 5])
        #expect(isAtEnd && remaining == 0)
        #expect(nothing == [])
    }

    @Test func `random bytes are read or refused, never trapped on`() {
        let seed: UInt64 = 0x5eed_0001
        var random = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            var bytes = random.bytes(Int.random(in: 0...40, using: &random))
            // Make the markers and small types common.
            for index in bytes.indices where Bool.random(using: &random) {
                bytes[index] = [0, 1, 2, 7, 8, 0xfc, 0xfd, 0xfe, 0xff].randomElement(
                    using: &random)!
            }
            var reader = WireReader(bytes.span)
            while !reader.isAtEnd {
                let before = reader.position
                do {
                    switch Int.random(in: 0...7, using: &random) {
                    case 0: _ = try reader.readValue()
                    case 1: _ = try reader.readBuffer(max: 1 << 20)
                    case 2: _ = try reader.readString(max: 1 << 20)
                    case 3: _ = try reader.readLexicalInteger()
                    case 4: _ = try reader.readBigUInt(max: 1 << 20)
                    case 5: _ = try reader.readEndpoint()
                    case 6: _ = try reader.readInt()
                    default: _ = try reader.readUTF16(max: 1 << 20)
                    }
                } catch { break }
                let after = reader.position
                #expect(after > before, "seed \(seed)")
            }
        }
    }
}
