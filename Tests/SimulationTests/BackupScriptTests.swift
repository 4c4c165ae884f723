import Simulation
import Testing

/// Runs that failed once, made small: devices that went back to backups, mostly several times, and waited for ever.
@Suite struct BackupScriptTests {
    private func check(_ script: DeviceScript) {
        let verdict = DeviceRun.run(script)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    @Test func `what shows that a log is a successor's shows first whose`() {
        check(
            DeviceScript(
                seed: 1_502_013, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .makeDirectory(0, "k.bin"),
                    .sleep(hours: 1),
                    .write(1, "a/c/k.bin", .inPlace),
                    .write(1, "n.txt", .renameOver),
                    .sleep(hours: 1),
                    .run(milliseconds: 60),
                    .write(1, "n.txt", .inPlace),
                    .sleep(hours: 1),
                    .stage(1, "n.txt"),
                    .run(milliseconds: 100),
                    .write(0, "c", .inPlace),
                    .writeSame(0, "m.txt"),
                    .write(1, "k.bin", .renameOver),
                    .run(milliseconds: 3000),
                    .backUp(1),
                    .backUp(0),
                    .rename(1, "n.txt", to: "a/n.txt"),
                    .putBack(1),
                    .sleep(hours: 1),
                    .putBack(0),
                    .writeBinary(0, "n.txt", kilobytes: 1),
                ]))
    }

    @Test func `a founder that goes on from a checkpoint can still show who is a member`() {
        check(
            DeviceScript(
                seed: 1_503_193, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 100),
                    .setMode(0, "m.txt", 436),
                    .write(0, "a/m.txt", .inPlace),
                    .stage(0, "n.txt"),
                    .write(0, "n.txt", .inPlace),
                    .sync(0),
                    .write(1, "k.bin", .inPlace),
                    .stage(0, "c"),
                    .edit(0, "n.txt", 2073254),
                    .sleep(hours: 1),
                    .backUp(0),
                    .write(1, "a", .inPlace),
                    .sleep(hours: 1),
                    .backUp(1),
                    .writeBinary(1, "n.txt", kilobytes: 1),
                    .putBack(0),
                    .sleep(hours: 1),
                    .putBack(1),
                ]))
    }

    @Test func `a device that goes on from a checkpoint keeps the tree of its log's beginning`() {
        check(
            DeviceScript(
                seed: 1_501_113, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .writeSame(0, "m.txt"),
                    .run(milliseconds: 5),
                    .write(0, "a/a/m.txt", .inPlace),
                    .backUp(1),
                    .write(0, "b", .inPlace),
                    .makeDirectory(1, "k.bin"),
                    .makeDirectory(1, "c"),
                    .run(milliseconds: 100),
                    .sleep(hours: 1),
                    .makeDirectory(1, "c/m.txt"),
                    .run(milliseconds: 60),
                    .write(1, "c/a/m.txt", .inPlace),
                    .removeTree(1, "a"),
                    .sleep(hours: 1),
                    .writeSlowly(0, "n.txt", milliseconds: 649),
                    .backUp(0),
                    .removeTree(0, "b"),
                    .putBack(0),
                    .makeDirectory(0, "a"),
                    .putBack(1),
                ]))
    }

    @Test func `nobody waits for ever for a checkpoint whose author forgot it`() {
        check(
            DeviceScript(
                seed: 1_502_750, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .writeSlowly(0, "k.bin", milliseconds: 169),
                    .makeDirectory(1, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .edit(0, "k.bin", 7155052),
                    .run(milliseconds: 5),
                    .write(0, "m.txt", .inPlace),
                    .write(1, "c", .inPlace),
                    .writeSlowly(1, "n.txt", milliseconds: 689),
                    .write(0, "k.bin", .inPlace),
                    .write(0, "b/a", .inPlace),
                    .sleep(hours: 1),
                    .run(milliseconds: 5),
                    .write(0, "b/k.bin", .inPlace),
                    .write(0, "a", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .write(1, "a", .inPlace),
                    .rename(1, "a", to: "n.txt"),
                    .settle,
                    .backUp(1),
                    .backUp(0),
                    .putBack(1),
                    .putBack(0),
                    .sleep(hours: 1),
                    .putBack(1),
                ]))
    }

    @Test func `nobody waits for ever for a checkpoint that it forgot itself`() {
        check(
            DeviceScript(
                seed: 1_502_536, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .edit(1, "n.txt", 6487663),
                    .writeBinary(1, "a/m.txt", kilobytes: 1),
                    .write(0, "a", .renameOver),
                    .unlink(0, "m.txt"),
                    .sleep(hours: 1),
                    .symlink(0, "m.txt", to: "x"),
                    .write(1, "n.txt", .inPlace),
                    .write(0, "a/c/n.txt", .inPlace),
                    .write(0, "m.txt", .backup),
                    .sleep(hours: 1),
                    .write(0, "b/n.txt", .inPlace),
                    .edit(1, "n.txt", 15941175),
                    .run(milliseconds: 5),
                    .edit(0, "n.txt", 3523895),
                    .write(1, "n.txt", .renameOver),
                    .write(0, "n.txt", .inPlace),
                    .backUp(0),
                    .sleep(hours: 1),
                    .makeDirectory(0, "c"),
                    .putBack(0),
                    .backUp(1),
                    .rename(0, "m.txt", to: "k.bin"),
                    .putBack(1),
                    .exchange(1, "c", with: "m.txt"),
                    .sleep(hours: 1),
                    .putBack(0),
                ]))
    }

    @Test
    func `a device whose state is older gets the blocks of a proof that come before what it has`() {
        check(
            DeviceScript(
                seed: 1_504_159, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .run(milliseconds: 4000),
                    .write(1, "n.txt", .inPlace),
                    .stage(1, "k.bin"),
                    .run(milliseconds: 500),
                    .backUp(1),
                    .write(0, "c/n.txt", .inPlace),
                    .write(0, "c", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/a/n.txt", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .sleep(hours: 1),
                    .run(milliseconds: 5),
                    .settle,
                    .write(1, "m.txt", .inPlace),
                    .writeSlowly(1, "m.txt", milliseconds: 79),
                    .backUp(0),
                    .putBack(1),
                    .sleep(hours: 3000),
                    .setMode(1, "a", 391),
                    .putBack(1),
                    .write(0, "m.txt", .inPlace),
                    .putBack(1),
                    .putBack(0),
                    .write(0, "k.bin", .inPlace),
                ]))
    }

    @Test func `a log of which nobody can show how it goes on is taken up at a checkpoint`() {
        check(
            DeviceScript(
                seed: 1_504_159, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .write(0, "n.txt", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .run(milliseconds: 500),
                    .write(0, "c/a", .inPlace),
                    .write(0, "c/a/c", .inPlace),
                    .write(0, "b/n.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .backUp(1),
                    .edit(0, "n.txt", 2592900),
                    .write(0, "c/n.txt", .inPlace),
                    .write(0, "c", .inPlace),
                    .sleep(hours: 3000),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/a/n.txt", .inPlace),
                    .writeSlowly(1, "n.txt", milliseconds: 230),
                    .putBack(1),
                    .write(0, "a/c", .inPlace),
                    .sleep(hours: 1),
                    .settle,
                    .writeSlowly(1, "m.txt", milliseconds: 79),
                    .backUp(0),
                    .putBack(1),
                    .putBack(0),
                ]))
    }

    @Test
    func `a device that was alone for long after a backup can still write again what it wrote`() {
        check(
            DeviceScript(
                seed: 1_503_133, devices: 2,
                steps: [
                    .write(1, "b/a/b", .inPlace),
                    .backUp(0),
                    .run(milliseconds: 5),
                    .putBack(0),
                    .write(0, "c", .inPlace),
                    .writeSlowly(0, "k.bin", milliseconds: 165),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/m.txt", .inPlace),
                    .writeSlowly(0, "a", milliseconds: 786),
                    .sleep(hours: 1),
                    .write(0, "a/c", .inPlace),
                    .sleep(hours: 1),
                    .write(0, "m.txt", .inPlace),
                    .sleep(hours: 1),
                ]))
    }

    @Test func `no checkpoint is published in a log that is begun by publishing it`() {
        check(
            DeviceScript(
                seed: 1_504_565, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .write(0, "b", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                    .writeSame(1, "n.txt"),
                    .write(1, "b/m.txt", .inPlace),
                    .writeSlowly(0, "c", milliseconds: 713),
                    .run(milliseconds: 60),
                    .sleep(hours: 1),
                    .write(0, "c", .renameOver),
                    .run(milliseconds: 3000),
                    .backUp(0),
                    .backUp(1),
                    .editCopy(0, ""),
                    .sleep(hours: 1),
                    .write(1, "m.txt", .inPlace),
                    .putBack(1),
                    .sleep(hours: 1),
                    .putBack(0),
                    .sleep(hours: 1),
                ]))
    }

    @Test func `a fork that is found while its device goes over to a checkpoint is looked into`() {
        check(
            DeviceScript(
                seed: 1_602_427, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .sleep(hours: 1),
                    .backUp(1),
                    .backUp(0),
                    .write(0, "n.txt", .inPlace),
                    .writeSlowly(1, "k.bin", milliseconds: 148),
                    .writeBinary(1, "c", kilobytes: 8),
                    .edit(1, "k.bin", 7547184),
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                    .write(1, "b", .inPlace),
                    .sleep(hours: 1),
                    .edit(1, "n.txt", 8499150),
                    .run(milliseconds: 500),
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                    .writeBinary(0, "b", kilobytes: 300),
                    .putBack(1),
                    .stage(0, "b"),
                    .write(0, "a", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .makeDirectory(1, "b"),
                    .putBack(0),
                    .write(1, "a", .inPlace),
                    .putBack(1),
                    .makeDirectory(1, "n.txt"),
                ]))
    }

    @Test func `a log is taken up at a block that proves who wrote the checkpoint`() {
        check(
            DeviceScript(
                seed: 1_501_113, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .backUp(1),
                    .run(milliseconds: 3000),
                    .sleep(hours: 1),
                    .makeDirectory(1, "k.bin"),
                    .write(0, "a/b", .inPlace),
                    .settle,
                    .write(1, "c/a/m.txt", .inPlace),
                    .sleep(hours: 3000),
                    .writeSlowly(0, "n.txt", milliseconds: 649),
                    .edit(1, "m.txt", 12486676),
                    .write(0, "b/b", .inPlace),
                    .putBack(1),
                    .write(1, "m.txt", .inPlace),
                    .write(1, "a", .inPlace),
                    .sleep(hours: 1),
                    .write(1, "c", .inPlace),
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                    .backUp(0),
                    .unlink(0, "b/b"),
                    .putBack(0),
                    .setMode(0, "a", 439),
                    .putBack(1),
                    .putBack(0),
                ]))
    }

    @Test func `nothing of the own log is given back that members may have another history of`() {
        check(
            DeviceScript(
                seed: 1_503_591, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "c/c", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .stage(0, "a/n.txt"),
                    .run(milliseconds: 100),
                    .backUp(0),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "c", .inPlace),
                    .write(1, "b", .inPlace),
                    .run(milliseconds: 500),
                    .write(0, "k.bin", .backup),
                    .writeSlowly(0, "c", milliseconds: 83),
                    .write(0, "k.bin", .inPlace),
                    .putBack(0),
                    .sleep(hours: 1),
                    .run(milliseconds: 500),
                    .sleep(hours: 1),
                    .removeTree(0, "a"),
                ]))
    }

    @Test func `members let in by two histories of the founder's log hear of each other`() {
        check(
            DeviceScript(
                seed: 1_700_363, devices: 2,
                steps: [
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .backUp(0),
                    .putBack(0),
                    .write(1, "m.txt", .inPlace),
                    .join,
                ]))
    }

    @Test func `whom a new log lets in before it is a member's is not refused`() {
        check(
            DeviceScript(
                seed: 1_700_176, devices: 3,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "c/a", .inPlace),
                    .join,
                    .run(milliseconds: 5),
                    .backUp(2),
                    .write(2, "c", .inPlace),
                    .writeSame(1, "m.txt"),
                    .putBack(2),
                    .run(milliseconds: 100),
                    .join,
                    .join,
                ]))
    }

    @Test func `who came by a restored device before that met a member is told of`() {
        check(
            DeviceScript(
                seed: 2_121_455, devices: 2,
                steps: [
                    .backUp(0),
                    .putBack(0),
                    .join,
                    .writeBinary(0, "c", kilobytes: 1),
                ]))
    }

    @Test func `a device that stops while it is backed up is started again`() {
        check(
            DeviceScript(
                seed: 2_561_177, devices: 4,
                steps: [
                    .stop(3, .killed, afterOperations: 5),
                    .backUp(3),
                ]))
    }

    /// The others have all that the device lost, but for one that lost power and meets it first.
    @Test(arguments: [4, 8, 22] as [UInt64])
    func `who lost what it had of a restored device's log waits for what others say`(seed: UInt64) {
        check(
            DeviceScript(
                seed: seed, devices: 3,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(1, "n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .backUp(1),
                    .write(1, "k.bin", .inPlace),
                    .putBack(1),
                    .stop(2, .powerCut, afterOperations: 0),
                    .write(2, "c", .inPlace),
                    .write(1, "c", .inPlace),
                    .sleep(hours: 1),
                ]))
    }
}
