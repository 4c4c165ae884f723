import Base
import Foundation
import Synchronization

/// Writes files one after the other, on a thread of its own, until it is stopped or the mount
/// fails under it, and remembers what the system promised for each, and when.
final class Recorder: Sendable {
    struct Written: Sendable {
        var number: UInt64
        var name: String
        var isSynced: Bool
        var closed: ContinuousClock.Instant
    }

    private struct State {
        var written: [Written] = []
        var saves: [Written] = []
        var isStopped = false
        var hasEnded = false
    }

    private let seed: UInt64
    private let state = Mutex(State())

    /// The file that is saved again and again, by renaming over it.
    static let savedName = "saved"

    init(seed: UInt64) { self.seed = seed }

    /// The bytes of one file: they follow from its number.
    func bytes(_ number: UInt64) -> [UInt8] {
        var random = SeededRandom(seed: seed &+ number)
        let kind = random.next() % 10
        let sizeMax = kind < 5 ? 2000 : kind < 9 ? 40_000 : 600_000
        return random.bytes(Int.random(in: 0...sizeMax, using: &random))
    }

    func savedText(_ number: UInt64) -> [UInt8] { Array("save \(number) of \(seed)".utf8) }

    /// Begins to write into `folder`, which must exist.
    func start(in folder: String) {
        Thread { [self] in
            var number: UInt64 = 0
            while !state.withLock({ $0.isStopped }) {
                do { try writeOne(number, in: folder) } catch { break }
                number += 1
            }
            state.withLock { $0.hasEnded = true }
        }.start()
    }

    /// Stops after the file it is at; also returns once it has failed.
    func stop() {
        state.withLock { $0.isStopped = true }
        wait(.seconds(30)) { state.withLock { $0.hasEnded } }
    }

    var written: [Written] { state.withLock { $0.written } }
    var saves: [Written] { state.withLock { $0.saves } }

    private func writeOne(_ number: UInt64, in folder: String) throws {
        let name = "\(folder)/file \(number)"
        let isSynced = number % 3 == 0
        try Files.write(bytes(number), to: name, synced: isSynced)
        let written = Written(number: number, name: name, isSynced: isSynced, closed: .now)
        state.withLock { $0.written.append(written) }
        guard number % 5 == 0 else { return }
        let saved = "\(folder)/\(Self.savedName)"
        try Files.save(savedText(number), over: saved)
        let save = Written(number: number, name: saved, isSynced: false, closed: .now)
        state.withLock { $0.saves.append(save) }
    }
}
