internal import Base
internal import Crypto
internal import Wire

/// Who may sign the log named `key`, what they sign, and how a signature looks.
struct SigningRules: Equatable, Sendable {
    let key: Bytes32
    let manifest: Manifest
    /// An old log: the key is the signer's public key and is not part of what is signed.
    let isCompat: Bool

    /// - Parameter manifest: nil takes the log to be an old one.
    /// - Returns: nil if the manifest is another log's.
    init?(key: Bytes32, manifest: Manifest?) {
        let manifest = manifest ?? Manifest(publicKey: key)
        isCompat = manifest.isCompat(for: key)
        guard isCompat || manifest.hash == key else { return nil }
        self.key = key
        self.manifest = manifest
    }

    /// Whether one signature stands for itself, without the wrapping for several.
    private var isPlain: Bool {
        isCompat
            || manifest.version == 0 && manifest.signers.count == 1 && !manifest.allowsPatch
    }

    /// The bytes that `signer` signs for a tree.
    func signable(treeHash: Bytes32, length: UInt64, fork: UInt64, signer: Int) -> [UInt8] {
        var writer = WireWriter(reserving: 112)
        writer.writeBytes32(LogNamespace.tree)
        if !isCompat {
            writer.writeBytes32(
                manifest.version == 0 ? manifest.signers[signer].namespace : key)
        }
        writer.writeBytes32(treeHash)
        writer.writeUInt64(length)
        writer.writeUInt64(fork)
        return writer.bytes
    }

    /// Which of the signers `publicKey` is, if one signature of it is enough.
    func soleSigner(_ publicKey: Bytes32) -> Int? {
        guard isCompat || manifest.quorum == 1 else { return nil }
        return manifest.signers.firstIndex { $0.publicKey == publicKey }
    }

    /// The signature of one signer in its wire form.
    ///
    /// - Parameter signer: what `soleSigner` gave for the pair's public key.
    func sign(_ tree: GrowingTree, fork: UInt64, keyPair: KeyPair, signer: Int) -> [UInt8] {
        let signature = keyPair.sign(
            signable(treeHash: tree.hash, length: tree.length, fork: fork, signer: signer))
        if isPlain { return signature }
        let multi = MultiSignature(
            parts: [MultiSignature.Part(signer: UInt64(signer), signature: signature)])
        return manifest.version == 0
            ? multi.encodedAsVersion0 : multi.encoded(reserving: 72)
    }

    /// Whether `signature` makes `tree` a valid state of the log.
    func accepts(_ signature: [UInt8], of tree: GrowingTree, fork: UInt64) -> Bool {
        if manifest.version >= 1, let prologue = manifest.prologue,
            tree.length <= prologue.length
        {
            return tree.length == prologue.length && tree.hash == prologue.hash
        }
        if isPlain {
            return Crypto.verify(
                signature: signature,
                message: signable(
                    treeHash: tree.hash, length: tree.length, fork: fork, signer: 0),
                publicKey: manifest.signers[0].publicKey)
        }
        guard let multi = decoded(signature) else { return false }
        return accepts(multi, of: tree, fork: fork)
    }

    private func decoded(_ signature: [UInt8]) -> MultiSignature? {
        do {
            return manifest.version == 0
                ? try MultiSignature(version0: signature)
                : try MultiSignature(decoding: signature.span)
        } catch {
            return nil
        }
    }

    private func accepts(_ multi: MultiSignature, of tree: GrowingTree, fork: UInt64) -> Bool {
        guard manifest.quorum > 0, UInt64(multi.parts.count) >= manifest.quorum else {
            return false
        }
        var seen: [UInt64] = []
        for part in multi.parts.prefix(Int(clamping: manifest.quorum)) {
            guard part.signer < UInt64(manifest.signers.count), !seen.contains(part.signer)
            else { return false }
            seen.append(part.signer)
            var signed = tree
            if part.patch != 0, !extend(&signed, by: part.patch, with: multi.patchNodes) {
                return false
            }
            let signer = Int(truncatingIfNeeded: part.signer)
            let message = signable(
                treeHash: signed.hash, length: signed.length, fork: fork, signer: signer)
            guard
                Crypto.verify(
                    signature: part.signature, message: message,
                    publicKey: manifest.signers[signer].publicKey)
            else { return false }
        }
        return true
    }

    /// Rebuilds the longer log that a signer of a patched signature signed.
    private func extend(
        _ tree: inout GrowingTree, by patch: UInt64, with nodes: [TreeNode]
    ) -> Bool {
        guard manifest.allowsPatch, patch <= Limits.lengthMax else { return false }
        return tree.grow(to: tree.length &+ patch) { wanted in
            nodes.first { $0.index == wanted }
        } == nil
    }
}
