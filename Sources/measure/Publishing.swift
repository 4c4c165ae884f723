import Base
import Glibc
import Host
import Share
import Synchronization

/// Publishes a checkpoint of the share in a state folder (`fill` makes one) while a program makes files and looks
/// for them: how long its calls take meanwhile, all that takes the lock counted.
func measurePublishing(home: String) throws {
    let standard = CheckpointPolicy.standard
    let share = try MeasuredShare(
        home: home,
        checkpoints: CheckpointPolicy(
            growthMin: 1, quiet: .milliseconds(100), turns: .milliseconds(1),
            grace: standard.grace, objectsPerTurn: standard.objectsPerTurn))
    let volume = share.volume
    let run = UInt64(bitPattern: wallNow().seconds)
    let directory = try volume.make(
        Array("while publishing \(run)".utf8), in: .root,
        MakeRequest(kind: .directory, mode: 0o755, uid: 0, gid: 0)
    ).node
    let isOver = Atomic(false)
    let hasEnded = Atomic(false)
    let times = Mutex<[Double]>([])
    Task.detached {
        var number = 0
        while !isOver.load(ordering: .relaxed) {
            number += 1
            let name = Array("\(number)".utf8)
            let begin = monotonicNow()
            _ = try? volume.make(
                name, in: directory, MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0))
            _ = try? volume.lookup(name, in: directory)
            let milliseconds = (monotonicNow() - begin).milliseconds
            times.withLock { $0.append(milliseconds) }
            usleep(1000)
        }
        hasEnded.store(true, ordering: .relaxed)
    }
    let start = monotonicNow()
    var began: Instant?
    var slowestTurn = Duration.zero
    while monotonicNow() < start + .seconds(300) {
        let turned = monotonicNow()
        share.turn()
        slowestTurn = max(slowestTurn, monotonicNow() - turned)
        let isGoingOn = volume.isPublishing
        if isGoingOn, began == nil { began = turned }
        // What counts is from the turn in which it begins to the one in which others are told.
        if began == nil {
            times.withLock { $0.removeAll() }
            slowestTurn = .zero
        }
        if began != nil, !isGoingOn { break }
        usleep(200)
    }
    let seconds = began.map { (monotonicNow() - $0).milliseconds / 1000 }
    isOver.store(true, ordering: .relaxed)
    while !hasEnded.load(ordering: .relaxed) { usleep(1000) }
    let sorted = times.withLock { $0.sorted() }
    guard let seconds, let longest = sorted.last else { return print("no checkpoint was due") }
    report(
        "publishing",
        [
            ("seconds", rounded(seconds, 2)), ("calls", Double(sorted.count)),
            ("p50 ms", rounded(sorted[sorted.count / 2], 3)),
            ("p99 ms", rounded(sorted[min(sorted.count - 1, sorted.count * 99 / 100)], 1)),
            ("longest ms", rounded(longest, 1)),
            ("slowest turn ms", rounded(slowestTurn.milliseconds, 1)),
        ])
    try volume.sync()
}
