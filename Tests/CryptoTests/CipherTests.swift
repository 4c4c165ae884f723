import Base
import Crypto
import Testing

struct CipherTests {
    private let key = Bytes32(Array(0..<32)) ?? .zero
    private let nonce = [UInt8](64..<88)
    private static let sizes = [0, 1, 16, 63, 64, 65, 1000, 70_000]

    @Test func `a stream cipher's second pass restores the bytes`() {
        for size in Self.sizes {
            let plain = [UInt8](repeating: 7, count: size)
            var bytes = plain
            XSalsa20.xor(&bytes, key: key, nonce: nonce)
            #expect(size < 16 || bytes != plain)
            XSalsa20.xor(&bytes, key: key, nonce: nonce)
            #expect(bytes == plain)
            XChaCha20.xor(&bytes, key: key)
            #expect(size < 16 || bytes != plain)
            XChaCha20.xor(&bytes, key: key, nonce: XChaCha20.zeroNonce)
            #expect(bytes == plain)
        }
    }

    /// draft-irtf-cfrg-xchacha-03, A.3.2, whose key stream starts at block 0.
    @Test func `XChaCha20 gives the draft's key stream`() throws {
        let key = try #require(
            Bytes32(hex: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"))
        let nonce = try #require(
            [UInt8](hex: "404142434445464748494a4b4c4d4e4f5051525354555658"))
        let text = "The dhole (pronounced \"dole\") is also known as the Asiatic wild dog"
        var bytes = Array(text.utf8)
        XChaCha20.xor(&bytes, key: key, nonce: nonce)
        #expect(bytes.prefix(16).map { $0 } == [UInt8](hex: "4559abba4e48c16102e8bb2c05e6947f"))
    }

    /// RFC 8439, 2.8.2.
    @Test func `ChaCha20-Poly1305 gives the RFC's ciphertext`() throws {
        let key = try #require(
            Bytes32(hex: "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"))
        let nonce = try #require([UInt8](hex: "070000004041424344454647"))
        let data = try #require([UInt8](hex: "50515253c0c1c2c3c4c5c6c7"))
        let text = Array(
            ("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for "
                + "the future, sunscreen would be it.").utf8)
        let sealed = ChaCha20Poly1305.seal(
            text.span, key: key, nonce: nonce, associatedData: data.span)
        #expect(Array(sealed.prefix(8)).hex == "d31a8d34648e60db")
        #expect(Array(sealed.suffix(16)).hex == "1ae10b594f09e26a7e902ecbd0600691")
        let opened = try ChaCha20Poly1305.open(
            sealed.span, key: key, nonce: nonce, associatedData: data.span)
        #expect(opened == text)
    }

    @Test(arguments: sizes)
    func `what was sealed opens only unchanged`(size: Int) throws {
        let plain = [UInt8](repeating: 9, count: size)
        let data: [UInt8] = [1, 2, 3]
        let short = Array(nonce.prefix(12))
        let sealed = ChaCha20Poly1305.seal(
            plain.span, key: key, nonce: short, associatedData: data.span)
        let boxed = SecretBox.seal(plain.span, key: key, nonce: nonce)
        #expect(sealed.count == size + 16 && boxed.count == size + 16)
        let opened = try ChaCha20Poly1305.open(
            sealed.span, key: key, nonce: short, associatedData: data.span)
        let unboxed = try SecretBox.open(boxed.span, key: key, nonce: nonce)
        #expect(opened == plain && unboxed == plain)

        for index in [0, size / 2, size + 15] {
            var changed = sealed
            changed[index] ^= 1
            #expect(throws: CryptoError.forged) {
                try ChaCha20Poly1305.open(
                    changed.span, key: key, nonce: short, associatedData: data.span)
            }
            changed = boxed
            changed[index] ^= 1
            #expect(throws: CryptoError.forged) {
                try SecretBox.open(changed.span, key: key, nonce: nonce)
            }
        }
        #expect(throws: CryptoError.forged) {
            try ChaCha20Poly1305.open(
                sealed.span, key: key, nonce: short, associatedData: plain.span)
        }
        let cut = [UInt8](repeating: 0, count: 15)
        #expect(throws: CryptoError.badLength(15)) {
            try SecretBox.open(cut.span, key: key, nonce: nonce)
        }
        #expect(throws: CryptoError.badLength(15)) {
            try ChaCha20Poly1305.open(
                cut.span, key: key, nonce: short, associatedData: data.span)
        }
    }

    @Test(arguments: sizes)
    func `a sealed message opens only with its key`(size: Int) throws {
        let pair = EncryptionKeyPair(seed: key)
        let plain = [UInt8](repeating: 9, count: size)
        var sealed = try EncryptionKeyPair.seal(plain.span, to: pair.publicKey)
        #expect(sealed.count == size + EncryptionKeyPair.overhead)
        #expect(try pair.open(sealed.span) == plain)
        #expect(throws: CryptoError.forged) {
            try EncryptionKeyPair(seed: .zero).open(sealed.span)
        }
        sealed[sealed.count - 1] ^= 1
        #expect(throws: CryptoError.forged) { try pair.open(sealed.span) }
        #expect(throws: CryptoError.badPublicKey) {
            try EncryptionKeyPair.seal(plain.span, to: .zero)
        }
    }

    @Test func `stream messages open in order and unchanged`() throws {
        var sender = SecretStreamState(key: key, header: nonce.span)
        var receiver = SecretStreamState(key: key, header: nonce.span)
        var frames: [[UInt8]] = []
        for size in Self.sizes {
            var frame: [UInt8] = [0xaa]
            sender.push([UInt8](repeating: UInt8(size & 0xff), count: size).span, into: &frame)
            #expect(frame.count == 1 + size + SecretStreamState.overhead)
            frames.append(Array(frame.dropFirst()))
        }
        let second = frames[1]
        #expect(throws: CryptoError.forged) { try receiver.pull(second.span) }
        for (size, frame) in zip(Self.sizes, frames) {
            var changed = frame
            changed[size / 2] ^= 0x40
            #expect(throws: CryptoError.forged) { try receiver.pull(changed.span) }
            #expect(
                try receiver.pull(frame.span)
                    == [UInt8](repeating: UInt8(size & 0xff), count: size))
        }
        let short = [UInt8](repeating: 0, count: 16)
        #expect(throws: CryptoError.badLength(16)) { try receiver.pull(short.span) }
    }
}
