import Base
import Testing

@Suite struct Bytes32Tests {
    @Test func `order is that of the bytes, first byte first`() throws {
        var low = [UInt8](repeating: 0, count: 32)
        var high = low
        low[31] = 255
        high[0] = 1
        let a = try #require(Bytes32(low))
        let b = try #require(Bytes32(high))
        #expect(a < b)
        #expect(!(b < a))
        #expect(a.bytes == low)
        #expect(Bytes32(hex: a.hex) == a)
        #expect(a[31] == 255)
    }

    @Test(arguments: [0, 31, 33]) func `other lengths are refused`(count: Int) {
        #expect(Bytes32([UInt8](repeating: 7, count: count)) == nil)
    }

    @Test func `hex takes whole bytes only`() {
        #expect([UInt8](hex: "00fFa0") == [0, 255, 160])
        #expect([UInt8](hex: "0") == nil)
        #expect([UInt8](hex: "zz") == nil)
    }
}

@Suite struct InstantTests {
    @Test func `arithmetic saturates`() {
        #expect(Instant.zero + .seconds(-1) == .zero)
        #expect(Instant.distantFuture + .seconds(1) == .distantFuture)
        #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: 9) == .nanoseconds(-4))
    }
}

@Suite struct SeededRandomTests {
    @Test func `one seed, one run`() {
        var first = SeededRandom(seed: 42)
        var second = SeededRandom(seed: 42)
        var other = SeededRandom(seed: 43)
        let bytes = first.bytes(100)
        #expect(bytes == second.bytes(100))
        #expect(bytes != other.bytes(100))
    }
}
