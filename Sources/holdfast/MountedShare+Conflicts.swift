import Base
import Chunks
import Glibc
import Host
import Share
import Store

/// What the daemon answers about conflicts.
extension MountedShare {
    /// - Parameter path: of a folder, or of anything in a conflict; nil for the whole share.
    func conflicts(below path: String?, limit: Int) throws(CommandFailure) -> [ConflictReport] {
        let names = Self.names(of: path)
        do throws(VolumeError) {
            // What is settled is settled by its name, or by that of a copy.
            if !names.isEmpty, let own = try? volume.conflict(at: names) {
                return [ConflictReport(try ConflictListing(own, volume))]
            }
            var reports: [ConflictReport] = []
            for conflict in try volume.conflicts(below: names).prefix(limit) {
                reports.append(ConflictReport(try ConflictListing(conflict, volume)))
            }
            if reports.isEmpty { _ = try volume.explain(names) }
            return reports
        } catch {
            throw Self.failure(error)
        }
    }

    /// - Returns: the conflict that is left under the path, if some is.
    func resolve(_ request: ControlRequest) throws(CommandFailure) -> [ConflictReport] {
        let names = Self.names(of: request.path)
        let settled: [[UInt8]]
        do throws(ResolutionError) {
            switch (request.keep, request.file) {
            case (let keep?, nil): settled = try volume.resolve(names, Resolution(keep))
            case (nil, let file?): settled = try merge(file, request.seen ?? [], names)
            default: throw .notFiles
            }
        } catch {
            throw CommandFailure(error)
        }
        do throws(VolumeError) {
            guard let left = try volume.conflict(at: settled) else { return [] }
            return [ConflictReport(try ConflictListing(left, volume))]
        } catch {
            throw Self.failure(error)
        }
    }

    private func merge(_ file: String, _ seen: [String], _ names: [[UInt8]])
        throws(ResolutionError) -> [[UInt8]]
    {
        do {
            let source = try MergedFile(file)
            var builder = ContentBuilder(keys: volume.keys.contentKeys, storage: packs)
            let content = try builder.build(from: source)
            try packs.sync()
            return try volume.resolve(names, with: content, modified: wallNow(), seen: seen)
        } catch let error as ResolutionError {
            throw error
        } catch ContentError.storage(let error) {
            throw .volume(.storage(error))
        } catch let error as StorageError {
            throw .volume(.storage(error))
        } catch {
            throw .noConflict
        }
    }

    func explanation(of path: String?) throws(CommandFailure) -> ExplanationReport {
        do throws(VolumeError) {
            let explanation = try volume.explain(Self.names(of: path))
            let conflict = try explanation.conflict.map { (conflict) throws(VolumeError) in
                ConflictReport(try ConflictListing(conflict, volume))
            }
            return ExplanationReport(explanation, conflict)
        } catch {
            throw Self.failure(error)
        }
    }
}

/// A file that somebody has merged: read here, chunk by chunk.
private struct MergedFile: ContentSource {
    private final class Opened: Sendable {
        let descriptor: Int32
        init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit { close(descriptor) }
    }

    let size: UInt64
    private let file: Opened

    init(_ path: String) throws(StorageError) {
        // The path is a terminated copy for the time of the call.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw .io(code: errno, action: "opening \(path)") }
        file = Opened(descriptor)
        var facts = stat()
        guard unsafe fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw .io(code: EINVAL, action: "reading \(path)")
        }
        size = UInt64(max(0, facts.st_size))
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        // The buffer is as long as is said.
        let count = unsafe pread(
            file.descriptor, buffer.baseAddress, buffer.count, off_t(clamping: offset))
        guard count >= 0 else {
            throw .storage(.io(code: errno, action: "reading a merged file"))
        }
        return count
    }
}

extension Resolution {
    init(_ word: String) {
        self =
            switch word {
            case "ours": .ours
            case "theirs": .theirs
            case "both": .both
            default: .version(word)
            }
    }
}

extension CommandFailure {
    init(_ error: ResolutionError) {
        let code: ExitCode =
            switch error {
            case .noConflict: .notFound
            case .notOne: .usage
            case .folder, .hidden, .notFiles: .conflicts
            case .volume(.readOnly): .denied
            case .volume: .general
            }
        self.init(code, EscapedText.escaped("\(error)"))
    }
}
