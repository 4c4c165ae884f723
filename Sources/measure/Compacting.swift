import Base
import Chunks
import Glibc
import Host
import Share
import Store

/// A share whose history is ten times as long as what it shows, and what giving that back is worth.
private struct LongHistory {
    private enum Limits {
        static let filesPerFolder = 100
        static let contentSize = 200
        /// Every file is saved so often, and as many others come and go.
        static let rounds = 5
    }

    let share: MeasuredShare
    private var volume: ShareVolume { share.volume }

    init(_ share: MeasuredShare) { self.share = share }

    func make(_ count: Int) throws {
        var folders: [NodeID] = []
        for index in 0..<max(1, count / Limits.filesPerFolder) {
            folders.append(try make("folder \(index)", .directory, in: .root))
        }
        var files: [NodeID] = []
        for index in 0..<count {
            files.append(try make("file \(index)", .file, in: folders[index % folders.count]))
            try save(files[index], 0)
        }
        for round in 1...Limits.rounds {
            for index in 0..<count {
                let folder = folders[index % folders.count]
                try save(files[index], round)
                let name = "gone \(index) \(round)"
                try save(try make(name, .file, in: folder), round)
                _ = try volume.unlink(Array(name.utf8), in: folder)
                share.turn()
            }
        }
        try volume.sync()
    }

    private func make(_ name: String, _ kind: FileKind, in parent: NodeID) throws -> NodeID {
        let mode: UInt32 = kind == .directory ? 0o755 : 0o644
        return try volume.make(
            Array(name.utf8), in: parent,
            MakeRequest(kind: kind, mode: mode, uid: 0, gid: 0)
        ).node
    }

    func save(_ file: NodeID, _ number: Int) throws {
        let opened = try volume.openContent(of: file)
        let text = Array("\(file.rawValue) \(number) ".utf8)
        let bytes = text + [UInt8](repeating: 0x20, count: Limits.contentSize - text.count)
        _ = try volume.publish(
            Save(
                node: file, parents: opened.versions, content: .inline(bytes), modified: wallNow(),
                settlesStaging: false))
    }

    /// Saves now and then until all is given back that can be.
    ///
    /// - Returns: how long each turn of the event loop took meanwhile: for so long a call may have to wait.
    func compact() throws -> (turns: [Duration], calls: [Duration]) {
        let name = Array("busy".utf8)
        let file = try make("busy", .file, in: .root)
        var turns: [Duration] = []
        var calls: [Duration] = []
        var number = 0
        var wasGoingOn = false
        let end = monotonicNow() + .seconds(300)
        while monotonicNow() < end {
            let begin = monotonicNow()
            share.turn()
            let turned = monotonicNow()
            let isGoingOn = volume.isCompacting
            if wasGoingOn && !isGoingOn { break }
            wasGoingOn = isGoingOn
            number += 1
            if number % 10 == 0 {
                // While nothing goes on: so that a checkpoint falls due, and somebody has seen the last.
                for _ in 0..<(isGoingOn ? 1 : 40) {
                    try save(file, number)
                    _ = try volume.lookup(name, in: .root)
                }
            }
            if isGoingOn {
                // Those in which nothing was due are no measure.
                if turned - begin > .microseconds(50) { turns.append(turned - begin) }
                calls.append(monotonicNow() - turned)
                usleep(100)
            } else {
                usleep(number % 10 == 0 ? 300_000 : 1000)
            }
        }
        try volume.sync()
        return (turns.sorted(), calls.sorted())
    }
}

/// Makes a share with a long history, or gives it back, in a process of its own each.
func measureHistory(home: String, making count: Int) throws {
    let share = try MeasuredShare(home: home)
    try LongHistory(share).make(count)
}

func measureCompaction(home: String) throws {
    let share = try MeasuredShare(
        home: home,
        checkpoints: CheckpointPolicy(
            growthMin: 4096, quiet: .milliseconds(100), turns: .milliseconds(1), grace: .zero,
            objectsPerTurn: 256, history: .zero))
    let begin = monotonicNow()
    let (turns, calls) = try LongHistory(share).compact()
    guard let slowest = turns.last else { return print("nothing was given back") }
    report(
        "compaction",
        [
            ("seconds", rounded((monotonicNow() - begin).milliseconds / 1000, 1)),
            ("turns", Double(turns.count)),
            ("p50 ms", rounded(turns[turns.count / 2].milliseconds, 2)),
            ("p99 ms", rounded(turns[turns.count * 99 / 100].milliseconds, 2)),
            ("most ms", rounded(slowest.milliseconds, 2)),
            ("call p99 ms", rounded(calls[calls.count * 99 / 100].milliseconds, 2)),
        ])
}
