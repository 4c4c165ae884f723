import Base
import Testing

struct ZBase32Tests {
    @Test func `any bytes come back`() {
        let seed: UInt64 = 0x5eed_0003
        var random = SeededRandom(seed: seed)
        for count in 0..<70 {
            let bytes = random.bytes(count)
            #expect(ZBase32.decode(ZBase32.encode(bytes)) == bytes, "seed \(seed)")
            #expect(ZBase32.decode(ZBase32.encode(bytes).uppercased()) == bytes, "seed \(seed)")
        }
    }

    @Test(arguments: ["l", "yl", "y", "yyy", "yyyyyy", "yb", "v2", "0", "ø"])
    func `text that no bytes encode to is refused`(text: String) {
        #expect(ZBase32.decode(text) == nil)
    }
}
