import Base
import Chunks
import Glibc
import Host
import Share
import Synchronization

/// Somebody who makes, saves, renames and removes files, and moves directories now and then.
private struct Worker {
    let share: MeasuredShare
    let directories: [NodeID]
    private let number: Int
    private var random: SeededRandom
    private var files: [(node: NodeID, name: [UInt8], directory: Int)] = []
    private var made = 0
    private var volume: ShareVolume { share.volume }

    init(_ share: MeasuredShare, _ number: Int) throws {
        self.share = share
        self.number = number
        random = SeededRandom(seed: UInt64(number))
        directories = try share.volume.list(.root).map(\.node)
    }

    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    /// Does something.
    ///
    /// - Returns: how many operations it is.
    mutating func step() throws -> Int {
        switch below(20) {
        case 0: return try moveDirectory()
        case 1..<4 where !files.isEmpty:
            let index = below(files.count)
            let file = files[index]
            made += 1
            let (name, target) = (Array("r\(number)-\(made)".utf8), below(directories.count))
            _ = try volume.rename(
                file.name, in: directories[file.directory], to: name, in: directories[target],
                .replace)
            files[index] = (file.node, name, target)
            return 1
        case 4..<6 where !files.isEmpty:
            let file = files.remove(at: below(files.count))
            _ = try volume.unlink(file.name, in: directories[file.directory])
            return 1
        case 6..<9 where !files.isEmpty:
            try save(files[below(files.count)].node)
            return 1
        default:
            made += 1
            let (name, directory) = (Array("f\(number)-\(made)".utf8), below(directories.count))
            let node = try volume.make(
                name, in: directories[directory],
                MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
            ).node
            try save(node)
            files.append((node, name, directory))
            return 3
        }
    }

    private mutating func save(_ file: NodeID) throws {
        let opened = try volume.openContent(of: file)
        _ = try volume.publish(
            Save(
                node: file, parents: opened.versions, content: .inline(random.bytes(40)),
                modified: wallNow(), settlesStaging: false))
    }

    private mutating func moveDirectory() throws -> Int {
        let moved = directories[below(directories.count)]
        let target = below(directories.count + 1)
        guard let place = try volume.path(of: moved), let name = place.names.last else { return 0 }
        do {
            _ = try volume.rename(
                name, in: try volume.parent(of: moved), to: name,
                in: target == directories.count ? .root : directories[target], .noReplace)
            return 1
        } catch {
            // It is there already, or above.
            guard error == .exists || error == .invalidMove else { throw error }
            return 0
        }
    }

    /// Works until so many operations are done.
    mutating func work(_ count: Int) throws {
        var done = 0
        while done < count {
            done += try step()
            share.turn()
        }
        try volume.sync()
        share.turn()
    }
}

/// A device comes back that has written for as long as the others: how long it takes one of them to take that
/// in, and what its programs notice.
func measureReturn(home: String, operations: Int) throws {
    let (first, second) = try apart(home: home, operations: operations)
    let isOver = Atomic(false)
    let times = Mutex<[Double]>([])
    let hasEnded = Atomic(false)
    let volume = first.volume
    let directory = try volume.list(.root)[0].node
    Task.detached {
        var number = 0
        while !isOver.load(ordering: .relaxed) {
            let begin = monotonicNow()
            number += 1
            // As somebody who works on: looks, makes, looks again.
            _ = try? volume.make(
                Array("meanwhile \(number)".utf8), in: directory,
                MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0))
            _ = try? volume.lookup(Array("meanwhile \(number)".utf8), in: directory)
            let milliseconds = (monotonicNow() - begin).milliseconds
            times.withLock { $0.append(milliseconds) }
            usleep(1000)
        }
        hasEnded.store(true, ordering: .relaxed)
    }
    let memory = residentBytes()
    let theirs = second.volume.status().clock
    let begin = monotonicNow()
    let spent = first.meet(second, ConnectionID(rawValue: 2)) {
        let clock = first.volume.status().clock
        return theirs.allSatisfy { clock[$0.key] ?? 0 >= $0.value }
            || monotonicNow() > begin + .seconds(120)
    }
    let grown = Double(residentBytes()) - Double(memory)
    isOver.store(true, ordering: .relaxed)
    while !hasEnded.load(ordering: .relaxed) { usleep(1000) }
    let sorted = times.withLock { $0.sorted() }
    report(
        "return",
        [
            ("seconds", rounded(spent.milliseconds / 1000, 2)),
            ("p50 ms", rounded(sorted[sorted.count / 2], 3)),
            ("p99 ms", rounded(sorted[min(sorted.count - 1, sorted.count * 99 / 100)], 1)),
            ("longest ms", rounded(sorted[sorted.count - 1], 1)),
            ("calls", Double(sorted.count)), ("MiB", rounded(grown / 1_048_576, 1)),
        ])
}

/// Two devices that know the same thousand directories and have worked apart since, at the same time by their
/// clocks.
private func apart(home: String, operations: Int) throws -> (MeasuredShare, MeasuredShare) {
    let first = try MeasuredShare(home: home + "/first")
    for number in 0..<1000 {
        _ = try first.volume.make(
            Array("d\(number)".utf8), in: .root,
            MakeRequest(kind: .directory, mode: 0o755, uid: 0, gid: 0))
        first.turn()
    }
    try first.volume.sync()
    let began = monotonicNow()
    let second = try MeasuredShare(home: home + "/second", joining: first)
    _ = first.meet(second, ConnectionID(rawValue: 1)) {
        second.volume.isAdmitted && second.volume.status().pending.blocks == 0
            && (try? second.volume.list(.root).count) == 1000
    }
    try second.volume.sync()
    var worker = try Worker(first, 1)
    try worker.work(operations)
    // What it writes from now on is as old as what the other one wrote.
    second.setClock(behind: monotonicNow() - began)
    worker = try Worker(second, 2)
    try worker.work(operations)
    return (first, second)
}
