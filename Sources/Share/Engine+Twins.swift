import Base
import FileTree

/// A file that is hidden behind another of its name because both show the same bytes.
struct Twin {
    let entry: EntryRow
    /// Its heads with those bytes.
    let versions: [VersionID]
    /// What it shows beside the name: its further heads, which are nobody's twins.
    let copies: [Node]
    /// Whether it has heads that do not show yet.
    let hidesHeads: Bool
    /// Whether it shows under other names too.
    let hasOtherNames: Bool
}

/// Whoever changes, renames or removes a file does so to its twins; what those show besides stays.
extension Engine {
    /// To be asked for before the file changes: afterwards it has no twins any more.
    func twins(of entry: EntryID) throws(VolumeError) -> [Twin] {
        let rows = try Self.stored { () throws(StorageError) in try tree.twins(of: entry) }
        var twins: [Twin] = []
        for row in rows {
            let isFile = row.kind == .file
            twins.append(
                Twin(
                    entry: row, versions: isFile ? try shownContent(row.object).versions : [],
                    copies: isFile ? try copies(of: row.object, shownFor: row.id) : [],
                    hidesHeads: isFile ? try !hiddenHeads(of: row.object).isEmpty : false,
                    hasOtherNames: try attributes(row.object).links > 1))
        }
        return twins
    }

    /// The file gets other bytes: those it had, and its twins', are succeeded.
    mutating func succeed(_ twins: [Twin]) throws(VolumeError) {
        for twin in twins {
            guard let parent = twin.entry.shownParent else { continue }
            guard !twin.copies.isEmpty || twin.hidesHeads, !twin.hasOtherNames else {
                try author(.remove(.init(twin.entry.id, from: parent)))
                continue
            }
            // It goes on showing what is not succeeded.
            for version in twin.versions {
                try author(.remove(.init(twin.entry.id, from: parent, version: version)))
            }
        }
    }

    /// The file gives up its name, and its twins with it. Copies become files of their own.
    mutating func remove(_ twins: [Twin]) throws(VolumeError) {
        for twin in twins {
            guard let parent = twin.entry.shownParent else { continue }
            if !twin.hasOtherNames { for copy in twin.copies { try detach(copy) } }
            if twin.hidesHeads {
                try detachHiddenHeads(of: twin.entry.object, shownBy: twin.entry.id)
            }
            try author(.remove(.init(twin.entry.id, from: parent)))
        }
    }
}
