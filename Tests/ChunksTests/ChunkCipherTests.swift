import Base
import Testing

@testable import Chunks

@Suite struct PadmeTests {
    @Test(arguments: [
        (1, 1), (2, 2), (3, 3), (8, 8), (9, 10), (17, 18), (100, 104), (1000, 1024), (4097, 4352),
        (32_768, 32_768), (32_769, 34_816), (131_073, 135_168), (524_287, 524_288),
        (524_288, 524_288),
    ]) func `size classes`(length: Int, expected: Int) {
        #expect(Padme.padded(length) == expected)
    }

    @Test func `padding costs at most 12 per cent and never shrinks`() {
        for length in 1...70_000 {
            let padded = Padme.padded(length)
            #expect(padded >= length && padded * 100 <= length * 112 + 100)
            #expect(Padme.padded(padded) == padded)
        }
    }
}

@Suite struct ChunkCipherTests {
    private let cipher = ChunkCipher(testKeys)

    @Test(arguments: [1, 2, 100, 4096, 32_769, 524_288])
    func `what was sealed opens again`(size: Int) throws {
        let plaintext = randomBytes(size, seed: UInt64(size))
        var (reference, ciphertext) = cipher.seal(plaintext)
        #expect(ciphertext.count == Padme.padded(size))
        #expect(ciphertext.count == reference.ciphertextLength)
        #expect(cipher.seal(plaintext).reference == reference)
        try cipher.open(&ciphertext, as: reference)
        #expect(ciphertext == plaintext)
    }

    @Test func `the format is pinned`() {
        let (reference, ciphertext) = cipher.seal([UInt8](0..<100))
        // Recomputed with hashlib and a ChaCha20 of its own, in another language.
        #expect(
            testKeys.contentKey.hex
                == "a9beb1efe45eacdbc0e0460932eeddb5ba2f835b4cd3bc1318b60a1cf36d834d")
        #expect(
            testKeys.boundaryKey.hex
                == "d18a8c28c59c24c2dc1e4d3bafaa4969dc995a0f4a46cb7b3f94a3dc7dce9d46")
        #expect(
            reference.key.hex == "6b72f1d48eda864384f12502039cc07fe2aad2b017671f42cc69c71d5320fa27")
        #expect(
            reference.address.hex
                == "c47e907d8f36f485fc018a5c2db214879890dae0e4261b81be02ac8fb91ec28e")
        #expect(Array(ciphertext.prefix(16)).hex == "4112667689d16225744d1a9f9e1bfab1")
    }

    @Test func `another share makes other chunks of the same bytes`() {
        let other = ChunkCipher(ContentKeys(shareKey: Bytes32(repeating: 8)))
        let plaintext = randomBytes(50_000, seed: 1)
        let (first, second) = (cipher.seal(plaintext), other.seal(plaintext))
        #expect(first.reference.address != second.reference.address)
        #expect(first.reference.key != second.reference.key)
        #expect(first.ciphertext != second.ciphertext)
    }

    @Test func `changed bytes are refused`() throws {
        let (reference, ciphertext) = cipher.seal(randomBytes(1000, seed: 2))
        for index in stride(from: 0, to: ciphertext.count, by: 37) {
            var changed = ciphertext
            changed[index] ^= 1
            #expect(throws: ChunkError.wrongAddress) {
                try cipher.open(&changed, as: reference)
            }
        }
        var short = Array(ciphertext.dropLast())
        #expect(throws: ChunkError.wrongLength) { try cipher.open(&short, as: reference) }
        var empty: [UInt8] = []
        #expect(throws: ChunkError.wrongLength) { try cipher.open(&empty, as: reference) }
    }

    @Test func `a writer's false key or length is refused`() throws {
        let (reference, ciphertext) = cipher.seal(randomBytes(1000, seed: 2))
        var bytes = ciphertext
        let falseKey = ChunkReference(
            address: reference.address, key: Bytes32(repeating: 1), length: 1000)
        #expect(throws: ChunkError.wrongKey) { try cipher.open(&bytes, as: falseKey) }
        // 1000 and 1001 are of one size class.
        bytes = ciphertext
        let falseLength = ChunkReference(
            address: reference.address, key: reference.key, length: 1001)
        #expect(throws: ChunkError.wrongKey) { try cipher.open(&bytes, as: falseLength) }
        bytes = ciphertext
        let sealed = ChunkReference(sealed: reference.address, ciphertextLength: 1024)
        #expect(throws: ChunkError.wrongLength) { try cipher.open(&bytes, as: sealed) }
        bytes = ciphertext
        let huge = ChunkReference(address: reference.address, key: reference.key, length: .max)
        #expect(throws: ChunkError.wrongLength) { try cipher.open(&bytes, as: huge) }
    }

    @Test func `chunks of before a revocation still open`() throws {
        let keys = testKeys.rotated(to: Bytes32(repeating: 9))
        let (old, new) = (cipher, ChunkCipher(keys))
        let plaintext = randomBytes(5000, seed: 3)
        var (reference, ciphertext) = old.seal(plaintext)
        #expect(new.seal(plaintext).reference.address != reference.address)
        try new.open(&ciphertext, as: reference)
        #expect(ciphertext == plaintext)
        var later = new.seal(plaintext)
        #expect(throws: ChunkError.wrongKey) {
            try old.open(&later.ciphertext, as: later.reference)
        }
    }

    @Test func `what is served is checked first`() throws {
        let storage = MemoryChunkStorage()
        let plaintext = randomBytes(40_000, seed: 4)
        let (reference, ciphertext) = cipher.seal(plaintext)
        var served: [UInt8] = []
        var scratch: [UInt8] = []
        #expect(
            try !storage.readCiphertext(of: reference.address, into: &served, scratch: &scratch))
        storage.append(reference, plaintext: plaintext.span)
        #expect(
            try storage.readCiphertext(of: reference.address, into: &served, scratch: &scratch))
        #expect(served == ciphertext)

        var rotten = plaintext
        rotten[17] ^= 1
        let bad = MemoryChunkStorage()
        bad.append(reference, plaintext: rotten.span)
        #expect(throws: StorageError.self) {
            try bad.readCiphertext(of: reference.address, into: &served, scratch: &scratch)
        }
    }

    @Test func `a keeper stores and serves what it cannot read`() throws {
        let (reference, ciphertext) = cipher.seal(randomBytes(40_001, seed: 4))
        let keeper = MemoryChunkStorage()
        let sealed = ChunkReference(
            sealed: reference.address, ciphertextLength: UInt32(ciphertext.count))
        keeper.append(sealed, plaintext: ciphertext.span)
        var served: [UInt8] = []
        var scratch: [UInt8] = []
        #expect(
            try keeper.readCiphertext(of: reference.address, into: &served, scratch: &scratch))
        try cipher.open(&served, as: reference)
        #expect(served == randomBytes(40_001, seed: 4))
    }
}
