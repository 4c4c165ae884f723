package import Base

/// Two histories of one log, each under a slot of its own: what the writer's device needs to go on.
extension Log {
    /// Whether the bytes of every block from `fetchStart` on are here.
    package var isComplete: Bool {
        length <= fetchStart || held.firstAbsent(from: fetchStart) >= length
    }

    /// The first block from `fetchStart` on that is not here; nil if there is none.
    package var firstMissing: UInt64? {
        let missing = held.firstAbsent(from: fetchStart)
        return missing < length ? missing : nil
    }

    /// How many blocks this log and another history of it have in common; those before the `fetchStart` of
    /// either are taken for the same.
    ///
    /// - Returns: nil while one of them lacks a block that tells.
    package func commonLength(with branch: Log) throws(StorageError) -> UInt64? {
        let end = min(length, branch.length)
        for index in min(max(fetchStart, branch.fetchStart), end)..<end {
            guard branch.hasBlock(at: index), hasBlock(at: index) else { return nil }
            guard try storedBlock(at: index) == branch.storedBlock(at: index) else { return index }
        }
        return end
    }

    /// Takes on the length of another copy, which has tree nodes that show how the log goes on from what is here.
    ///
    /// - Returns: false if it does not go on from that, or nodes are missing.
    package func follow(_ branch: Log) throws(StorageError) -> Bool {
        guard branch.fork == fork, branch.length > length else { return false }
        let request = RequestMessage(
            id: 0, fork: fork, upgrade: .init(start: length, length: branch.length &- length))
        guard let proof = try branch.availableProof(for: request),
            let verified = try verified(proof)
        else { return false }
        try store(verified)
        return true
    }

    private func availableProof(for request: RequestMessage) throws(StorageError) -> Proof? {
        do throws(ProofRefusal) { return try proof(for: request) } catch {
            guard case .storage(let error) = error else { return nil }
            throw error
        }
    }

    private func verified(_ proof: Proof) throws(StorageError) -> VerifiedProof? {
        do throws(ProofError) { return try verify(proof) } catch {
            guard case .storage(let error) = error else { return nil }
            throw error
        }
    }

    /// Forgets everything that is stored under this log's slot; the object is of no use afterwards.
    package func erase() throws(StorageError) {
        var change = LogChange(header: LogHeader(key: key))
        change.truncation = LogChange.Truncation(length: 0, spanningNodes: [])
        try storage.write(change, to: slot)
    }
}
