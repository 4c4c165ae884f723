package import Base

/// Logs in memory: for tests and simulations.
package final class MemoryLogStorage: LogStorage {
    private struct Rows {
        var header: LogHeader?
        var nodes: [UInt64: TreeNode] = [:]
        var blocks: [UInt64: [UInt8]] = [:]

        mutating func apply(_ change: LogChange) {
            if let truncation = change.truncation {
                let firstNode = truncation.firstNode
                nodes = nodes.filter { $0.key < firstNode }
                blocks = blocks.filter { $0.key < truncation.length }
                for index in truncation.spanningNodes { nodes[index] = nil }
            }
            if let cleared = change.cleared {
                blocks = blocks.filter { !cleared.contains($0.key) }
            }
            for node in change.nodes { nodes[node.index] = node }
            for block in change.blocks { blocks[block.index] = block.bytes }
            if let header = change.header { self.header = header }
        }
    }

    private var rows: [WriterSlot: Rows] = [:]
    /// Thrown by every call while set: a test's full or broken disk.
    package var failure: StorageError?
    /// Changes carried out so far.
    package private(set) var writeCount = 0

    package init() {}

    /// A storage of its own with the same rows: what a disk held at this moment.
    package func copy() -> MemoryLogStorage {
        let copy = MemoryLogStorage()
        copy.rows = rows
        return copy
    }

    package func logs() throws(StorageError) -> [WriterSlot] {
        try failIfAsked()
        return rows.keys.sorted { $0.rawValue < $1.rawValue }
    }

    package func header(_ slot: WriterSlot) throws(StorageError) -> LogHeader? {
        try failIfAsked()
        return rows[slot]?.header
    }

    package func node(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> TreeNode? {
        try failIfAsked()
        return rows[slot]?.nodes[index]
    }

    package func block(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> [UInt8]? {
        try failIfAsked()
        return rows[slot]?.blocks[index]
    }

    package func storedRuns(
        _ slot: WriterSlot, from start: UInt64
    ) throws(StorageError) -> [Range<UInt64>] {
        try failIfAsked()
        var runs: [Range<UInt64>] = []
        for index in (rows[slot]?.blocks.keys.filter { $0 >= start } ?? []).sorted() {
            if let last = runs.last, last.upperBound == index {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        return runs
    }

    package func write(_ change: LogChange, to slot: WriterSlot) throws(StorageError) {
        try failIfAsked()
        writeCount += 1
        rows[slot, default: Rows()].apply(change)
    }

    private func failIfAsked() throws(StorageError) {
        if let failure { throw failure }
    }
}
