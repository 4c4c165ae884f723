import Base

/// What the heads of one file show: the stage between a version graph and the names it is shown under.
///
/// Heads that were closed do not show, unless all were: then the latest of them does. Heads with equal bytes
/// count once. Of what is left the latest is the file, the others are copies beside it; unless they merge:
/// then the merge is the file.
struct ShownHeads {
    /// One thing to show, and every head whose bytes it is.
    struct Item {
        /// The head that stands for all: the latest. Of a merge, its size, time and content are the merge's.
        var version: VersionRow
        /// The identities of all, that one first.
        var versions: [VersionID]
    }

    /// The file itself first, then its copies, the later before the earlier.
    let items: [Item]

    init(_ heads: [VersionRow], _ verdict: MergeVerdict?, writers: WriterTable) {
        let sorted = heads.sorted { writers.precedes($1.stamp, $0.stamp) }
        let open = sorted.filter { !$0.isClosed }
        var items: [Item] = []
        var known: [VersionRow.Bytes: Int] = [:]
        for head in open.isEmpty ? Array(sorted.prefix(1)) : open {
            if let index = known[head.bytes] {
                items[index].versions.append(head.id)
            } else {
                known[head.bytes] = items.count
                items.append(Item(version: head, versions: [head.id]))
            }
        }
        switch verdict {
        case .merged(let size, let content):
            if let latest = open.first {
                let modified = open.map(\.modified).max() ?? latest.modified
                let merge = VersionRow(
                    id: latest.id, object: latest.object, time: latest.time,
                    parents: latest.parents, size: size, modified: modified, content: content)
                items = [Item(version: merge, versions: open.map(\.id))]
            }
        case .pending(let shown?):
            if let item = items.first(where: { $0.versions.contains(shown) }) { items = [item] }
        case .pending(nil), .conflict, nil: break
        }
        self.items = items
    }
}

extension VersionRow {
    /// Equal if the bytes of the file are; however they came to be empty.
    struct Bytes: Hashable {
        private let size: UInt64
        private let content: [UInt8]

        static let none = Bytes(size: 0, content: [])

        fileprivate init(size: UInt64, content: [UInt8]) {
            self.size = size
            self.content = size == 0 ? [] : content
        }
    }

    var bytes: Bytes { Bytes(size: size, content: content) }
}
