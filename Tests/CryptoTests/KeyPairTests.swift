import Base
import Testing

@testable import Crypto

struct KeyPairTests {
    private let one = KeyPair(seed: Bytes32(repeating: 1))
    private let two = KeyPair(seed: Bytes32(repeating: 2))

    @Test func `both sides agree on the published secret`() throws {
        let expected = "5612509e82825296cbaaae306ffe1088cbbe200de8ba23dad06f67e607f861df"
        #expect(try one.sharedSecret(with: two.publicKey).hex == expected)
        #expect(try two.sharedSecret(with: one.publicKey).hex == expected)
    }

    /// noise.json, the step of the curve alone.
    @Test func `the scalar is the clamped half of the seed's hash`() {
        let pair = KeyPair(seed: Bytes32(repeating: 0x11))
        var scalar: [UInt8] = []
        pair.withScalar { scalar = Array(UnsafeBufferPointer(start: $0, count: 32)) }
        let expected = "805b920bda4cd49d251d3329144a0cf8bdaaa07502626fa87f08e80faedab15f"
        #expect(scalar.hex == expected)
    }

    @Test(arguments: [
        // The neutral point, a point of order 8, y = p (not canonical), and no point at all.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0200000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ])
    func `a public key that is no good point is refused`(hex: String) throws {
        let key = try #require(Bytes32(hex: hex))
        #expect(throws: CryptoError.badPublicKey) { try one.sharedSecret(with: key) }
    }

    @Test func `a description shows the public half alone`() {
        let secret = one.seed.hex
        for text in [
            "\(one)", String(reflecting: one), "\(Mirror(reflecting: one).children.map { $0 })",
        ] {
            #expect(!text.contains(secret) && !text.contains("SecretMemory"), "\(text)")
            #expect(text.contains(one.publicKey.description))
        }
        var dumped = ""
        dump(one, to: &dumped)
        #expect(!dumped.contains("secret"))
    }

    @Test func `signatures of another length or key do not verify`() {
        let message: [UInt8] = [1, 2, 3]
        var signature = one.sign(message)
        #expect(verify(signature: signature, message: message, publicKey: one.publicKey))
        #expect(!verify(signature: signature, message: message, publicKey: two.publicKey))
        #expect(!verify(signature: [], message: message, publicKey: one.publicKey))
        #expect(!verify(signature: signature + [0], message: message, publicKey: one.publicKey))
        signature[5] ^= 1
        #expect(!verify(signature: signature, message: message, publicKey: one.publicKey))
    }

    @Test func `new pairs come from the randomness handed in`() {
        var first = SeededRandom(seed: 5)
        var second = SeededRandom(seed: 5)
        #expect(KeyPair(using: &first).publicKey == KeyPair(using: &second).publicKey)
        var secure = SecureRandom()
        #expect(KeyPair(using: &secure).publicKey != KeyPair(using: &secure).publicKey)
        #expect(Bytes32(using: &secure) != Bytes32(using: &secure))
    }
}
