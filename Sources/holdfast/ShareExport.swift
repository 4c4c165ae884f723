import Base
import Chunks
import Host
import Share
import Store

/// Writes what does not count as ordinary files.
struct ShareExport {
    let volume: ShareVolume
    let folder: ShareFolder
    let chunks: PackStore
    /// Whether peers can be asked for what is not here.
    let isConnected: Bool

    private enum Limits {
        static let items = 10_000
        static let missing = 100_000
        static let fetchSeconds = 30
    }

    /// - Parameters:
    ///   - path: of an ordinary folder; nil writes nothing.
    ///   - device: nil for all.
    func run(to path: String?, of device: String?) throws(CommandFailure) -> ExportReport {
        let (all, counted) = try storing { () throws(StorageError) in
            (try folder.openScratch(.export), try folder.openScratch(.counted))
        }
        defer {
            folder.removeScratch(.export)
            folder.removeScratch(.counted)
        }
        let view: UncountedView
        do throws(MemberError) {
            view = try volume.uncounted(of: device, scratch: (all, counted))
        } catch {
            guard case .unknown(let name) = error else { throw MountedShare.failure(error) }
            throw CommandFailure(
                .notFound,
                "nothing is here of \(EscapedText.quoted(name)) that does not count: holdfast status"
                    + " names the devices that were revoked or retired")
        }
        if isConnected, path != nil { fetch(view) }
        return try write(view, to: path)
    }

    private func write(_ view: UncountedView, to path: String?) throws(CommandFailure)
        -> ExportReport
    {
        var report = ExportReport()
        report.logs = view.logs
        report.unreadBlocks = view.unreadBlocks
        guard let tree = view.tree, !view.items.isEmpty else { return report }
        guard let path else {
            for item in view.items {
                var row = Self.row(item, .listed)
                if let content = content(of: item, tree), !isHere(content) {
                    row.outcome = .missing
                    row.problem = "its bytes are not here"
                }
                report.add(row, limit: Limits.items)
            }
            return report
        }
        var target: ExportFolder
        do throws(HostError) { target = try ExportFolder(path: path) } catch {
            throw CommandFailure(error)
        }
        for item in view.items {
            var row = Self.row(item, .written)
            let placed = put(item, of: tree, into: &target)
            switch placed.outcome {
            case .written: break
            case .present: row.outcome = .present
            case .missing: (row.outcome, row.problem) = (.missing, "its bytes are not here")
            case .failed(let problem): (row.outcome, row.problem) = (.failed, problem)
            }
            if placed.names != item.path { row.writtenAs = Self.text(placed.names) }
            report.add(row, limit: Limits.items)
        }
        target.finish()
        return report
    }

    private func put(_ item: UncountedItem, of tree: PastView, into target: inout ExportFolder)
        -> ExportFolder.Placed
    {
        let attributes = item.attributes
        if attributes.kind == .directory {
            return target.put(directory: item.path, item.directories + [attributes])
        }
        let name = item.path.last ?? []
        let parent = target.put(directory: item.path.dropLast(), item.directories)
        if case .failed = parent.outcome { return parent }
        do throws(VolumeError) {
            switch attributes.kind {
            case .file:
                guard let content = content(of: item, tree) else {
                    return .init(outcome: .failed("its content cannot be read"), names: item.path)
                }
                guard isHere(content) else { return .init(outcome: .missing, names: item.path) }
                return target.put(file: name, in: parent.names, attributes, content)
            case .symlink:
                return target.put(
                    symlink: name, in: parent.names, attributes,
                    target: try tree.readLink(attributes.node))
            case .fifo: return target.put(fifo: name, in: parent.names, attributes)
            case .directory, .socket, .characterDevice, .blockDevice:
                return .init(outcome: .failed("a \(attributes.kind)"), names: item.path)
            }
        } catch {
            return .init(outcome: .failed("\(error)"), names: item.path)
        }
    }

    private func content(of item: UncountedItem, _ tree: PastView) -> ContentReader? {
        guard item.attributes.kind == .file else { return nil }
        return (try? tree.openContent(of: item.attributes.node)).map {
            ContentReader($0.content, storage: chunks)
        }
    }

    private func isHere(_ content: ContentReader) -> Bool {
        (try? content.missing(in: 0..<content.size, limit: 1).isEmpty) ?? false
    }

    /// Asks peers for what is missing, and waits a while.
    private func fetch(_ view: UncountedView) {
        guard let tree = view.tree else { return }
        var missing: [ChunkReference] = []
        for item in view.items where missing.count < Limits.missing {
            guard let content = content(of: item, tree) else { continue }
            missing += (try? content.missing(in: 0..<content.size, limit: 10_000)) ?? []
        }
        guard !missing.isEmpty else { return }
        volume.await(missing, seconds: Limits.fetchSeconds)
    }

    private static func row(_ item: UncountedItem, _ outcome: ExportReport.Item.Outcome)
        -> ExportReport.Item
    {
        let seconds = UInt64(max(0, item.attributes.modified.seconds))
        return ExportReport.Item(
            path: text(item.path), kind: "\(item.attributes.kind)", device: item.device,
            state: item.isNew ? "new" : "changed", size: item.attributes.size,
            modified: seconds * 1000 + UInt64(item.attributes.modified.nanoseconds / 1_000_000),
            outcome: outcome)
    }

    private static func text(_ path: [[UInt8]]) -> String {
        path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
    }
}

extension ExportReport {
    fileprivate mutating func add(_ item: Item, limit: Int) {
        switch item.outcome {
        case .written, .listed:
            if item.kind == "directory" {
                folders += 1
            } else {
                files += 1
                bytes += item.kind == "file" ? item.size : 0
            }
        case .present: present += 1
        case .missing: missing += 1
        case .failed: failed += 1
        }
        if items.count < limit { items.append(item) } else { unlisted += 1 }
    }
}
