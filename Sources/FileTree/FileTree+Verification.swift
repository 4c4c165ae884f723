package import Base

extension FileTree {
    /// The digest that the stored rows amount to: `digest`, unless what is stored was damaged.
    ///
    /// The digest is kept up by difference and stored beside the rows, so damage to a row does not show in
    /// it. Reads every object and entry; everything must be saved.
    package func digestOfRows() throws(StorageError) -> Bytes32 {
        var sum = Digest.zero
        for number in 0..<writers.count {
            let writer = WriterSlot(rawValue: UInt16(number))
            var last: ObjectID?
            while true {
                let ids = try storage.objects(of: writer, after: last, limit: 1000)
                for id in ids { try add(id, to: &sum) }
                guard let end = ids.last else { break }
                last = end
            }
        }
        return sum.bytes
    }

    private func add(_ id: ObjectID, to sum: inout Digest) throws(StorageError) {
        guard let object = try storage.object(id) else { return }
        if object.isShown { sum += hasher.object(object) }
        for entry in try storage.entries(of: id) {
            guard let parent = entry.shownParent else { continue }
            sum += hasher.entry(entry, shownIn: parent)
        }
    }
}
