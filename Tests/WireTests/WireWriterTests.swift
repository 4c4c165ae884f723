import Base
import Testing
import Wire

struct WireWriterTests {
    @Test(arguments: [0, 252, 253, 65535, 65536, 4_294_967_295, 4_294_967_296, Limits.integerMax])
    func `the size of a varint is known beforehand`(value: UInt64) throws {
        var writer = WireWriter()
        writer.writeUInt(value)
        #expect(writer.bytes.count == wireSize(ofUInt: value))
        var reader = WireReader(writer.bytes.span)
        let back = try reader.readUInt()
        #expect(back == value)
    }

    @Test(arguments: [0, -1, 1, (1 << 52) - 1, -(1 << 52)] as [Int64])
    func `signed varints come back`(value: Int64) throws {
        var writer = WireWriter()
        writer.writeInt(value)
        var reader = WireReader(writer.bytes.span)
        let back = try reader.readInt()
        #expect(back == value)
    }

    @Test func `integers of any size come back without their leading zeros`() throws {
        for (words, kept) in [([], []), ([0, 0], []), ([7], [7]), ([0, .max, 0], [0, .max])]
            as [([UInt64], [UInt64])]
        {
            var writer = WireWriter()
            writer.writeBigUInt(words)
            var reader = WireReader(writer.bytes.span)
            let back = try reader.readBigUInt(max: 4)
            #expect(back == kept)
        }
    }

    @Test func `bytes of order-preserving integers sort as the numbers do`() throws {
        let seed: UInt64 = 0x5eed_0002
        var random = SeededRandom(seed: seed)
        let exactMax: UInt64 = 1 << 43
        var numbers: [UInt64] = [0, 250, 251, 255, 256, 65535, 65536, (1 << 24) - 1, 1 << 24]
        numbers += (0...300).map { (1 << 32) - 20 + $0 }
        numbers += (0..<500).map { _ in random.next() >> UInt64.random(in: 21...63, using: &random)
        }
        numbers.sort()
        var last: [UInt8] = []
        for number in numbers where number < exactMax {
            var writer = WireWriter()
            writer.writeLexicalInteger(number)
            #expect(!writer.bytes.lexicographicallyPrecedes(last), "\(number), seed \(seed)")
            var reader = WireReader(writer.bytes.span)
            let back = try reader.readLexicalInteger()
            #expect(back == number)
            last = writer.bytes
        }
        for number in [exactMax, 1 << 53, UInt64.max] {
            var writer = WireWriter()
            writer.writeLexicalInteger(number)
            var reader = WireReader(writer.bytes.span)
            let back = try reader.readLexicalInteger()
            #expect(number - back <= number >> 43)
        }
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "+1.2.3.4", "1..2.3", ":", ":::", "1::2::3",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "+1::", "::1:",
    ])
    func `what is no address is not read as one`(text: String) {
        #expect(NetworkAddress(text) == nil)
    }

    @Test func `endpoints show as text`() throws {
        let four = try #require(NetworkAddress("10.0.0.1"))
        let six = try #require(NetworkAddress("fe80::1"))
        #expect(NetworkEndpoint(address: four, port: 80).description == "10.0.0.1:80")
        #expect(NetworkEndpoint(address: six, port: 80).description == "[fe80:0:0:0:0:0:0:1]:80")
    }
}
