internal import Crypto

/// HMAC (RFC 2104) over BLAKE2b-512, whose block has 128 bytes. Not the keyed mode of BLAKE2b.
func hmac(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
    let blockSize = 128
    var block = key.count > blockSize ? Blake2b.hash512(key) : key
    block.append(contentsOf: repeatElement(0, count: blockSize - block.count))
    let inner = Blake2b.hash512(block.map { $0 ^ 0x36 } + message)
    return Blake2b.hash512(block.map { $0 ^ 0x5c } + inner)
}

/// The HKDF of Noise (section 4.3) with two outputs of 64 bytes each.
func hkdf(salt: [UInt8], _ input: [UInt8]) -> (first: [UInt8], second: [UInt8]) {
    let key = hmac(key: salt, input)
    let first = hmac(key: key, [1])
    return (first, hmac(key: key, first + [2]))
}
