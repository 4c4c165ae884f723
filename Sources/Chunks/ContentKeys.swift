package import Base
import Crypto

/// What turns a share's plaintext into its chunks: where it is cut, and under which keys.
package struct ContentKeys: Sendable {
    /// Keys the hash that names plaintexts and ciphers them.
    package let contentKey: Bytes32
    /// Keys the gear table: where chunks begin and end.
    package let boundaryKey: Bytes32
    /// Content keys of the past: chunks made under them can still be opened.
    package let retiredKeys: [Bytes32]

    package init(contentKey: Bytes32, boundaryKey: Bytes32, retiredKeys: [Bytes32] = []) {
        self.contentKey = contentKey
        self.boundaryKey = boundaryKey
        self.retiredKeys = retiredKeys
    }

    /// The keys that a share starts with: BLAKE2b-256 under the share key of a name each.
    package init(shareKey: Bytes32) {
        self.init(
            contentKey: Blake2b.hash256(key: shareKey, Array("holdfast/content".utf8)),
            boundaryKey: Blake2b.hash256(key: shareKey, Array("holdfast/boundaries".utf8)))
    }

    /// The same share after a revocation: new chunks are made under `contentKey`.
    package func rotated(to contentKey: Bytes32) -> ContentKeys {
        ContentKeys(
            contentKey: contentKey, boundaryKey: boundaryKey,
            retiredKeys: [self.contentKey] + retiredKeys)
    }
}
