package import Base
package import Hypercore

struct LogStatements {
    let slots, header, node, block, positions: SQLiteStatement
    let putHeader, putNode, putBlock: SQLiteStatement
    let removeNodes, removeNode, removeBlocks: SQLiteStatement

    init(_ connection: SQLiteConnection) throws(StorageError) {
        slots = try connection.prepare("SELECT slot FROM log ORDER BY slot")
        header = try connection.prepare(
            """
            SELECT key, manifest, length, byte_length, fork, signature, contiguous_length
            FROM log WHERE slot = ?
            """)
        node = try connection.prepare("SELECT size, hash FROM node WHERE slot = ? AND position = ?")
        block = try connection.prepare("SELECT bytes FROM block WHERE slot = ? AND position = ?")
        positions = try connection.prepare(
            "SELECT position FROM block WHERE slot = ? AND position >= ? ORDER BY position")
        putHeader = try connection.prepare("REPLACE INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        putNode = try connection.prepare("REPLACE INTO node VALUES (?, ?, ?, ?)")
        putBlock = try connection.prepare("REPLACE INTO block VALUES (?, ?, ?)")
        removeNodes = try connection.prepare(
            "DELETE FROM node WHERE slot = ? AND position >= ?", changesMany: true)
        removeNode = try connection.prepare("DELETE FROM node WHERE slot = ? AND position = ?")
        removeBlocks = try connection.prepare(
            "DELETE FROM block WHERE slot = ? AND position >= ? AND position < ?",
            changesMany: true)
    }
}

// Positions are below 2^54, so their bit patterns compare as they do.
extension ShareDatabase {
    package func logs() throws(StorageError) -> [WriterSlot] {
        try logStatements.slots.all { row throws(StorageError) in
            try slot(row.integer(0))
        }
    }

    package func header(_ slot: WriterSlot) throws(StorageError) -> LogHeader? {
        try logStatements.header.first(slot) { row throws(StorageError) in
            guard let key = row.bytes32(0) else { throw damaged("log \(slot.rawValue)") }
            return LogHeader(
                key: key, manifest: row.bytes(1), length: row.unsigned(2),
                byteLength: row.unsigned(3), fork: row.unsigned(4), signature: row.bytes(5),
                contiguousLength: row.unsigned(6))
        }
    }

    package func node(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> TreeNode? {
        try logStatements.node.first(slot, index) { row throws(StorageError) in
            guard let hash = row.bytes32(1) else {
                throw damaged("node \(index) of log \(slot.rawValue)")
            }
            return TreeNode(index: index, size: row.unsigned(0), hash: hash)
        }
    }

    package func block(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> [UInt8]? {
        try logStatements.block.first(slot, index) { row throws(StorageError) in row.bytes(0) }
    }

    package func storedRuns(_ slot: WriterSlot, from start: UInt64) throws(StorageError)
        -> [Range<UInt64>]
    {
        var runs: [Range<UInt64>] = []
        try logStatements.positions.forEach(slot, start) { row throws(StorageError) in
            let index = row.unsigned(0)
            guard index < .max else { throw damaged("block of log \(slot.rawValue)") }
            if let last = runs.last, last.upperBound == index {
                runs[runs.count - 1] = last.lowerBound..<index + 1
            } else {
                runs.append(index..<index + 1)
            }
        }
        return runs
    }

    package func write(_ change: LogChange, to slot: WriterSlot) throws(StorageError) {
        if let truncation = change.truncation {
            try logStatements.removeBlocks.run(slot, truncation.length, UInt64(Int64.max))
            try logStatements.removeNodes.run(slot, truncation.firstNode)
            for index in truncation.spanningNodes {
                try logStatements.removeNode.run(slot, index)
            }
        }
        if let cleared = change.cleared {
            try logStatements.removeBlocks.run(slot, cleared.lowerBound, cleared.upperBound)
        }
        for node in change.nodes {
            try logStatements.putNode.run(slot, node.index, node.size, node.hash)
        }
        for block in change.blocks {
            try logStatements.putBlock.run(slot, block.index, block.bytes)
        }
        if let header = change.header {
            try logStatements.putHeader.run(
                slot, header.key, header.manifest, header.length, header.byteLength, header.fork,
                header.signature, header.contiguousLength)
        }
    }

    func slot(_ number: Int64) throws(StorageError) -> WriterSlot {
        guard let value = UInt16(exactly: number), value <= WriterSlot.max else {
            throw damaged("log number \(number)")
        }
        return WriterSlot(rawValue: value)
    }
}

extension WriterSlot: SQLiteValue {
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe Int64(rawValue).bind(to: statement, at: index)
    }
}
