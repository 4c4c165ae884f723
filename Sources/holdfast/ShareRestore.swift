import Base
import Chunks
import Glibc
import Host
import Share
import Store
import Synchronization

/// Brings back what was, and first the chunks of it that are elsewhere.
struct ShareRestore {
    let volume: ShareVolume
    let folder: ShareFolder

    private enum Limits {
        /// How long peers may take to bring what is missing.
        static let fetchSeconds = 60
    }

    func run(_ request: ControlRequest) throws(CommandFailure) -> RestoreReport {
        let path = names(request.path ?? "")
        let target = request.target.map(names)
        do throws(VolumeError) {
            if let version = request.version {
                return try fetching { (missing) throws(VolumeError) in
                    try volume.restore(path, version: version, to: target, missing: &missing)
                }
            }
            let scratch = try opened()
            defer { folder.removeScratch(.past) }
            let past = try volume.past(at: request.at ?? 0, scratch: scratch)
            return try fetching { (missing) throws(VolumeError) in
                try volume.restore(path, from: past, to: target, missing: &missing)
            }
        } catch {
            guard case .notFound = error else { throw CommandFailure(.general, "\(error)") }
            throw CommandFailure(
                .notFound,
                request.version == nil
                    ? "there was no such file in the share then"
                    : "the file has no such version: holdfast log lists those it has")
        }
    }

    private func names(_ path: String) -> [[UInt8]] {
        path.split(separator: "/").map { Array($0.utf8) }
    }

    private func opened() throws(VolumeError) -> any ShareStorage {
        do { return try folder.openScratch(.past) } catch { throw .storage(error) }
    }

    /// Does the work; once more if chunks were missing, and have come.
    private func fetching(
        _ work: (inout [ChunkReference]) throws(VolumeError) -> RestoreReport
    ) throws(VolumeError) -> RestoreReport {
        var missing: [ChunkReference] = []
        var report = try work(&missing)
        guard !missing.isEmpty else { return report }
        volume.await(missing, seconds: Limits.fetchSeconds)
        let first = report
        report = try work(&missing)
        report.files += first.files
        report.directories += first.directories
        report.unchanged = first.unchanged
        return report
    }
}

extension ShareVolume {
    private final class Signal: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .acquiring) }
        func set() { value.store(true, ordering: .releasing) }
    }

    /// Asks peers for chunks, and waits until they came or cannot be had.
    func await(_ missing: [ChunkReference], seconds: Int) {
        let isDone = Signal()
        demand(missing) { _ in isDone.set() }
        for _ in 0..<seconds * 50 where !isDone.isSet { usleep(20_000) }
    }
}
