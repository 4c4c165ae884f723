internal import Base
internal import Chunks
internal import FileTree
internal import Hypercore
internal import Share

/// One change of a share's rows: what a database journals.
enum DiskChange {
    case object(ObjectRow)
    case entry(EntryRow)
    case version(VersionRow)
    case xattr(XattrRow)
    case move(MoveRow)
    case conflict(ConflictRow)
    case noConflict(ConflictRow)
    case noObject(ObjectRow)
    case noEntry(EntryRow)
    case noVersion(VersionRow)
    case noXattr(XattrRow)
    case noMoves(upTo: HybridTime, limit: Int)
    case treeState([UInt8])
    case log(LogChange, WriterSlot)
    case value([UInt8]?, String)
    case writer(Bytes32)
    case writerOf(Bytes32, WriterSlot)
    case applied(AppliedLog, WriterSlot)
    case staged(StagedFile)
    case notStaged(NodeID)
    case wanted(WantedChunk)
    case notWanted(Bytes32)
    case noView
}

/// A share's rows in memory: what its changes amount to, one after the other.
final class DiskRows {
    let logs = MemoryLogStorage()
    private(set) var tree = MemoryTreeStorage()
    private(set) var values: [String: [UInt8]] = [:]
    private(set) var writers: [Bytes32] = []
    private(set) var applied: [WriterSlot: AppliedLog] = [:]
    private(set) var staged: [NodeID: StagedFile] = [:]
    private(set) var wanted: [Bytes32: WantedChunk] = [:]
    private(set) var versions: [VersionID] = []

    func apply(_ change: DiskChange) throws(StorageError) {
        switch change {
        case .object(let row): try tree.put(row)
        case .entry(let row): try tree.put(row)
        case .version(let row):
            if try tree.version(row.id) == nil { versions.append(row.id) }
            try tree.put(row)
        case .xattr(let row): try tree.put(row)
        case .move(let row): try tree.put(row)
        case .conflict(let row): try tree.put(row)
        case .noConflict(let row): try tree.remove(row)
        case .noObject(let row): try tree.remove(row)
        case .noEntry(let row): try tree.remove(row)
        case .noVersion(let row):
            versions.removeAll { $0 == row.id }
            try tree.remove(row)
        case .noXattr(let row): try tree.remove(row)
        case .noMoves(let time, let limit): _ = try tree.removeMoves(upTo: time, limit: limit)
        case .treeState(let bytes): try tree.setTreeState(bytes)
        case .log(let change, let slot): try logs.write(change, to: slot)
        case .value(let value, let name): values[name] = value
        case .writer(let key): writers.append(key)
        case .writerOf(let key, let slot): writers[Int(slot.rawValue) - 1] = key
        case .applied(let log, let slot): applied[slot] = log
        case .staged(let file): staged[file.node] = file
        case .notStaged(let node): staged[node] = nil
        case .wanted(let chunk): wanted[chunk.reference.address] = chunk
        case .notWanted(let address): wanted[address] = nil
        case .noView:
            tree = MemoryTreeStorage()
            applied = [:]
            wanted = [:]
            versions = []
        }
    }
}
