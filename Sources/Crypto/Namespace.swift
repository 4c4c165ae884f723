package import Base

package func namespace(_ name: String, _ id: UInt8) -> Bytes32 {
    namespace(Array(name.utf8), id)
}

/// A constant that keeps the uses of one key apart: `H(H(name) || id)` with BLAKE2b-256.
package func namespace(_ name: [UInt8], _ id: UInt8) -> Bytes32 {
    var hasher = Blake2bHasher()
    hasher.update(Blake2b.hash256(name))
    hasher.update([id])
    return hasher.finalize()
}
