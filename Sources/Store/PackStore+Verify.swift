package import Base
package import Chunks
internal import Glibc
internal import Synchronization

/// What checking every chunk found.
package struct PackReport: Equatable, Sendable {
    /// Chunks that are as they should be.
    package var chunks = 0
    package var bytes: UInt64 = 0
    /// Chunks that are not: `discard` them, then fetch them again.
    package var damaged: Set<Bytes32> = []
    /// For people: what, where, what to do. Includes what was found when the store was opened.
    package var problems: [String] = []

    package init() {}
}

extension PackStore {
    /// Reads every chunk and checks it: its checksum, then what `isRight` knows.
    ///
    /// - Parameter isRight: whether the stored bytes have the reference's key and address.
    package func verify(_ isRight: (ChunkReference, Span<UInt8>) -> Bool) throws(StorageError)
        -> PackReport
    {
        var report = PackReport()
        report.problems = damages
        // A collection would move chunks out of sight.
        try collection.withLock { _ throws(StorageError) in
            for place in places() {
                guard let pack = index.withLock({ $0.packs[place] }) else { continue }
                // A descriptor of its own: every pack is visited once.
                guard let file = try PackFile.open(pack.name, in: directory) else {
                    report.problems.append("\(pack.name.fileName) or its data is missing")
                    continue
                }
                for entry in try entries(of: file, place: place) {
                    check(entry, in: file, place: place, isRight, &report)
                }
            }
        }
        return report
    }

    private func check(
        _ entry: PackFormat.Entry, in file: PackFile, place: Int,
        _ isRight: (ChunkReference, Span<UInt8>) -> Bool, _ report: inout PackReport
    ) {
        let location = entry.location(in: place)
        guard index.withLock({ $0.table[entry.address] == location }) else { return }
        do throws(StorageError) {
            let (header, payload) = try file.record(payloadOffset: location.offset)
            guard header.reference.address == entry.address, payload.count == location.length,
                isRight(header.reference, payload.span)
            else { throw file.damaged("chunk \(entry.address) at byte \(location.offset)") }
            report.chunks += 1
            report.bytes += UInt64(payload.count)
        } catch {
            report.damaged.insert(entry.address)
            report.problems.append("\(error)")
        }
    }

    /// The records of any pack.
    func entries(of file: PackFile, place: Int) throws(StorageError) -> [PackFormat.Entry] {
        let unsealed = appender.withLock { appender in
            (appender.full + [appender.active].compactMap { $0 }).first { $0.place == place }
        }
        if let unsealed { return unsealed.entries }
        if let sealed = try sealedEntries(of: file) { return sealed }
        return try file.scan(size: file.descriptor.size(), checkedFrom: .max)
    }

    /// - Returns: nil if the pack has no seal that can be read.
    func sealedEntries(of file: PackFile) throws(StorageError) -> [PackFormat.Entry]? {
        guard let number = try file.number() else { return nil }
        let seal = try file.seal(number: number, size: file.descriptor.size())
        guard case .whole(let entries) = seal else { return nil }
        return entries
    }
}
