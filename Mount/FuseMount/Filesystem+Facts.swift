internal import Base
internal import Chunks
internal import Share

/// What the extended attributes `user.holdfast.*` tell of a file:
///
///     state     saving (written to here, and no version holds it yet), conflict, local, partial or
///               remote: how much of its content is on this device
///     versions  how many versions no other has succeeded, and their operations, the one shown first
///     writer    the device that wrote it last
///     written   when, by that device's clock
///     conflict  what else wants its name: paths from the root of the mount, a line each
extension Filesystem {
    private enum Fact: String { case state, versions, writer, written, conflict }

    /// - Parameter name: begins with `ExtendedAttribute.own`.
    func told(_ name: [UInt8], of inode: Inode) throws(VolumeError) -> [UInt8] {
        let word = String(decoding: name.dropFirst(ExtendedAttribute.own.count), as: UTF8.self)
        guard let fact = Fact(rawValue: word), inode.orphan == nil else { throw .noAttribute }
        let facts = try volume.facts(of: inode.node)
        switch fact {
        case .state: return Array(try state(of: inode, facts).utf8)
        case .versions:
            guard try volume.attributes(of: inode.node).kind == .file else { throw .noAttribute }
            let words = ["\(facts.versions.count)"] + facts.versions
            return Array(words.joined(separator: " ").utf8)
        case .writer: return Array(facts.writer.utf8)
        case .written: return Array(facts.written.text.utf8)
        case .conflict:
            guard let others = facts.others else { throw .noAttribute }
            let lines = Array(others.joined(separator: [0x0a]))
            return Array(lines.prefix(MountLimits.attributeValueSizeMax))
        }
    }

    private func state(of inode: Inode, _ facts: NodeFacts) throws(VolumeError) -> String {
        if inode.file?.isDirty == true { return "saving" }
        if facts.others != nil { return "conflict" }
        guard try volume.attributes(of: inode.node).kind == .file else { return "local" }
        var presence = Presence()
        let content = try volume.openContent(of: inode.node).content
        try lift { () throws(StorageError) in try presence.look(at: content, chunks) }
        return presence.words
    }
}

/// How much of a content is on this device: looks no further than it must.
private struct Presence {
    private var hasSome = false
    private var lacksSome = false

    mutating func look(at content: Content, _ chunks: any ChunkStorage) throws(StorageError) {
        let reader = ContentReader(content, storage: chunks)
        lacksSome = try !reader.missing(in: 0..<reader.size, limit: 1).isEmpty
        guard lacksSome else { return }
        try reader.forEachPart(of: 0..<reader.size) { piece, _ in
            if let reference = piece.reference, chunks.contains(reference.address) {
                hasSome = true
            }
            return !hasSome
        }
    }

    var words: String { lacksSome ? hasSome ? "partial" : "remote" : "local" }
}
