import Simulation
import Testing

/// Runs in which memberships ended that failed once, made small.
@Suite struct EndingScriptTests {
    private func check(_ script: DeviceScript) {
        let verdict = DeviceRun.run(script)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    /// The copy of a cloned device that had a block of a retired log left it to the other, which had none, to say so.
    @Test func `a clone says what it has of a retired log`() {
        check(
            DeviceScript(
                seed: 1_864_416, devices: 3,
                steps: [
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(2, "a/a/a", .inPlace),
                    .write(2, "c/b/b", .inPlace),
                    .write(2, "n.txt", .inPlace),
                    .write(2, "a", .inPlace),
                    .end(2, isRevoked: false),
                    .write(0, "c/k.bin", .inPlace),
                    .write(1, "b/m.txt", .inPlace),
                    .run(milliseconds: 60),
                    .clone(1),
                    .partition([1, 0, 1, 0]),
                ]))
    }

    /// The founder crashed in the call that revokes a device, and the revocation was kept.
    @Test func `a revocation that a crash spared closes the links`() {
        check(
            DeviceScript(
                seed: 1_871_264, devices: 3,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .setXattr(2, "n.txt", 3),
                    .write(0, "m.txt", .inPlace),
                    .stop(0, .killed, afterOperations: 40),
                    .run(milliseconds: 3000),
                    .edit(0, "n.txt", 14_032_359),
                    .end(2, isRevoked: true),
                ]))
    }

    /// A copy of a revoked device that had not heard of it went on under another log, and waited to be let in.
    @Test func `a clone of a revoked device says that it is no member`() {
        check(
            DeviceScript(
                seed: 1_872_061, devices: 3,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(2, "c/n.txt", .inPlace),
                    .settle,
                    .write(2, "c/a/n.txt", .inPlace),
                    .write(2, "b/c/a", .inPlace),
                    .end(2, isRevoked: true),
                    .join,
                    .write(3, "n.txt", .inPlace),
                    .clone(2),
                    .stop(1, .powerCut, afterOperations: 0),
                    .removeTree(4, "n.txt"),
                    .stage(4, "m.txt"),
                    .run(milliseconds: 500),
                    .run(milliseconds: 3000),
                    .write(2, "m.txt", .inPlace),
                    .offline(0),
                    .run(milliseconds: 3000),
                ]))
    }

    /// The link that was given after it led nowhere.
    @Test func `a power cut does not take a revocation back`() {
        check(
            DeviceScript(
                seed: 1_873_335, devices: 4,
                steps: [
                    .run(milliseconds: 3000),
                    .end(3, isRevoked: true),
                    .join,
                    .stop(0, .powerCut, afterOperations: 0),
                ]))
    }

    /// A copy of a copy: what its log goes on from was no member's either.
    @Test func `a clone of a clone of a revoked device says that it is no member`() {
        check(
            DeviceScript(
                seed: 1_881_256, devices: 4,
                steps: [
                    .run(milliseconds: 4000),
                    .write(2, "m.txt", .inPlace),
                    .write(2, "m.txt", .inPlace),
                    .write(1, "b/n.txt", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .offline(0),
                    .run(milliseconds: 100),
                    .rebuild(3),
                    .end(1, isRevoked: true),
                    .clone(1),
                    .write(1, "a", .inPlace),
                    .write(3, "a/c/m.txt", .inPlace),
                    .write(3, "a", .inPlace),
                    .makeDirectory(4, "b"),
                    .run(milliseconds: 100),
                    .run(milliseconds: 500),
                    .clone(4),
                    .write(4, "m.txt", .inPlace),
                    .removeTree(5, "a"),
                ]))
    }

    /// Members were told to connect a device that can be none any more.
    @Test func `of a log that has ended no other history is missed`() {
        check(
            DeviceScript(
                seed: 1_897_104, devices: 3,
                steps: [
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .end(1, isRevoked: false),
                    .backUp(0),
                    .putBack(0),
                    .backUp(1),
                    .stage(1, "m.txt"),
                    .putBack(1),
                    .write(1, "n.txt", .inPlace),
                ]))
    }

    /// Who retired it had none of its blocks, and takes none; who was let in alone had seen them, and nobody said so.
    @Test func `who was let in by a device that was retired before others knew says so`() {
        check(
            DeviceScript(
                seed: 1_900_241, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .write(0, "b/m.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .removeTree(0, "n.txt"),
                    .sleep(hours: 1),
                    .join,
                    .run(milliseconds: 3000),
                    .end(1, isRevoked: false),
                ]))
    }

    /// It goes on under another log, which nobody lets in.
    @Test func `who was let in by a retired device and restored from a backup says so, too`() {
        check(
            DeviceScript(
                seed: 1_932_061, devices: 4,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "b", .inPlace),
                    .run(milliseconds: 3000),
                    .write(2, "n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .sleep(hours: 1),
                    .run(milliseconds: 5),
                    .write(0, "k.bin", .inPlace),
                    .sleep(hours: 1),
                    .write(0, "m.txt", .inPlace),
                    .write(3, "c", .inPlace),
                    .end(2, isRevoked: false),
                    .write(0, "a/a/n.txt", .inPlace),
                    .writeBinary(0, "m.txt", kilobytes: 1),
                    .join,
                    .makeDirectory(1, "c"),
                    .write(4, "a/k.bin", .inPlace),
                    .run(milliseconds: 60),
                    .run(milliseconds: 60),
                    .join,
                    .cut,
                    .run(milliseconds: 5),
                    .write(5, "n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .backUp(5),
                    .writeSame(5, "n.txt"),
                    .putBack(5),
                    .editCopy(5, ""),
                ]))
    }

    /// It had no name when it went, so that nothing was put in its place.
    @Test func `what is written to a file that is removed and then does not count is a new file`() {
        check(
            DeviceScript(
                seed: 1_916_106, devices: 2,
                steps: [
                    .join,
                    .join,
                    .settle,
                    .settle,
                    .write(3, "k.bin", .inPlace),
                    .write(3, "m.txt", .inPlace),
                    .end(3, isRevoked: true),
                    .offline(0),
                    .join,
                    .run(milliseconds: 3000),
                    .stage(4, "k.bin"),
                    .unlink(2, "k.bin"),
                ]))
    }

    /// The view was made again for ever: what does not end cannot be made small by itself.
    @Test func `a view that is made again within other bounds is made once more`() {
        var options = DeviceOptions()
        options.faults = [.backup, .end, .sleep, .stop, .offline, .join, .cut]
        let (_, verdict) = DeviceRun.run(seed: 1_900_162, options)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    @Test func `logs that a view made again tells of are asked for`() {
        check(
            DeviceScript(
                seed: 2_021_029, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .makeDirectory(0, "k.bin"),
                    .writeSlowly(0, "m.txt", milliseconds: 483),
                    .write(0, "c", .inPlace),
                    .offline(0),
                    .write(1, "b", .inPlace),
                    .removeTree(0, "m.txt"),
                    .settle,
                    .run(milliseconds: 3000),
                    .makeDirectory(1, "m.txt"),
                    .write(0, "n.txt", .inPlace),
                    .writeSlowly(0, "k.bin", milliseconds: 143),
                    .run(milliseconds: 60),
                    .write(1, "a/k.bin", .inPlace),
                    .write(0, "m.txt", .backup),
                    .sync(0),
                    .write(1, "m.txt", .backup),
                    .sync(1),
                    .stage(0, "a/c/n.txt"),
                    .write(0, "a/a", .inPlace),
                    .writeSlowly(1, "a", milliseconds: 436),
                    .write(0, "m.txt", .inPlace),
                    .open(0, "m.txt"),
                    .run(milliseconds: 60),
                    .join,
                    .write(0, "a/m.txt", .inPlace),
                    .write(0, "a/a/k.bin", .inPlace),
                    .cut,
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .unlinkFirst),
                    .write(2, "b/m.txt", .inPlace),
                    .sleep(hours: 1),
                    .write(2, "a/m.txt", .inPlace),
                    .write(2, "c", .inPlace),
                    .stage(2, "c"),
                    .write(0, "a", .renameOver),
                    .edit(1, "m.txt", 1_528_535),
                    .run(milliseconds: 5),
                    .rename(0, "n.txt", to: "c"),
                    .run(milliseconds: 3000),
                    .write(0, "a/a", .inPlace),
                    .write(2, "m.txt", .inPlace),
                    .write(2, "b", .inPlace),
                    .end(1, isRevoked: false),
                    .write(0, "a/n.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .save(0),
                    .sleep(hours: 1),
                    .write(0, "b", .backup),
                    .write(2, "n.txt", .inPlace),
                    .cut,
                    .write(0, "k.bin", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .stage(1, "c/m.txt"),
                    .join,
                    .stage(1, "n.txt"),
                    .join,
                    .run(milliseconds: 60),
                    .offline(4),
                    .run(milliseconds: 500),
                    .sleep(hours: 1),
                    .run(milliseconds: 3000),
                    .cut,
                    .cut,
                    .write(1, "a/c/n.txt", .inPlace),
                ]))
    }
}
