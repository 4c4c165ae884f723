import Simulation
import Testing

/// Runs that failed once, made small.
@Suite struct DeviceScriptTests {
    private func check(_ script: DeviceScript) {
        let verdict = DeviceRun.run(script)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    @Test func `a block that found no room on the disk is not announced`() {
        check(
            DeviceScript(
                seed: 51, devices: 4,
                steps: [
                    .run(milliseconds: 4000),
                    .fillDisk(3),
                    .write(3, "n.txt", .inPlace),
                    .run(milliseconds: 200),
                    .stop(3, .killed, afterOperations: 0),
                ]))
    }

    @Test func `a version that came to show while the next one was made is not under that`() {
        check(
            DeviceScript(
                seed: 1_311_629, devices: 5,
                steps: [
                    .run(milliseconds: 4000),
                    .write(1, "m.txt", .inPlace),
                    .open(1, "m.txt"),
                    .run(milliseconds: 3000),
                    .edit(4, "m.txt", 14_749_603),
                    .edit(2, "m.txt", 4_743_860),
                    .save(1),
                    .run(milliseconds: 500),
                    .editCopy(1, ""),
                    .writeSlowly(0, "m.txt", milliseconds: 217),
                ]))
    }

    @Test func `a full disk does not make a device turn in circles`() {
        check(
            DeviceScript(
                seed: 1_310_647, devices: 5,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .symlink(3, "k.bin", to: "x"),
                    .fillDisk(1),
                    .run(milliseconds: 500),
                    .sleep(hours: 1),
                    .unlink(4, "k.bin"),
                    .run(milliseconds: 3000),
                    .makeDirectory(0, "k.bin"),
                    .run(milliseconds: 3000),
                ]))
    }

    @Test func `a device that stops when a list of chunks has come in fetches what it lists`() {
        check(
            DeviceScript(
                seed: 1_811_543, devices: 5,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 100),
                    .write(2, "c/c/n.txt", .inPlace),
                    .write(2, "a", .inPlace),
                    .stop(1, .killed, afterOperations: 5),
                    .write(3, "b/a/n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .settle,
                    .settle,
                    .write(3, "a/a/n.txt", .inPlace),
                    .writeBinary(3, "a/c", kilobytes: 12000),
                    .stop(2, .powerCut, afterOperations: 40),
                    .run(milliseconds: 3000),
                ]))
    }

    @Test func `a full disk keeps nobody from opening a share`() {
        check(
            DeviceScript(
                seed: 87, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .fillDisk(0),
                    .stop(0, .killed, afterOperations: 0),
                    .start(0),
                    .look(0),
                ]))
    }

    @Test func `a save by rename knows its parents after the view was made anew`() {
        check(
            DeviceScript(
                seed: 1, devices: 2, isAlternating: true,
                steps: [
                    .settle,
                    .writeBinary(1, "m.txt", kilobytes: 1),
                    .settle,
                    .writeSame(1, "n.txt"),
                    .settle,
                    .rebuild(1),
                    .rename(1, "n.txt", to: "m.txt"),
                ]))
    }

    @Test func `a save by rename does not bury what came to the name while it was prepared`() {
        check(
            DeviceScript(
                seed: 117, devices: 4,
                steps: [
                    .run(milliseconds: 4000),
                    .write(2, "c", .inPlace),
                    .write(1, "b", .inPlace),
                    .run(milliseconds: 6000),
                    .exchange(0, "b", with: "c"),
                    .writeSlowly(3, "c", milliseconds: 2000),
                ]))
        check(
            DeviceScript(
                seed: 339, devices: 3,
                steps: [
                    .run(milliseconds: 4000),
                    .offline(0),
                    .offline(1),
                    .write(0, "n.txt", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .online(0),
                    .online(1),
                    .run(milliseconds: 9000),
                    .unlink(0, "n.txt"),
                    .writeSlowly(2, "n.txt", milliseconds: 2000),
                ]))
    }

    @Test func `a file with a conflict copy does not lose it by being renamed over another`() {
        check(
            DeviceScript(
                seed: 481, devices: 3,
                steps: [
                    .run(milliseconds: 4000),
                    .write(0, "n.txt", .inPlace),
                    .settle,
                    .edit(2, "n.txt", 2_957_169),
                    .edit(0, "n.txt", 7_602_048),
                    .write(2, "m.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .rename(0, "n.txt", to: "m.txt"),
                ]))
    }

    @Test func `a conflict copy renamed over its file is what the file has`() {
        check(
            DeviceScript(
                seed: 586, devices: 3,
                steps: [
                    .run(milliseconds: 4000),
                    .write(0, "n.txt", .inPlace),
                    .settle,
                    .offline(1),
                    .write(0, "n.txt", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .online(1),
                    .run(milliseconds: 6000),
                    .renameCopy(2, "", to: "n.txt"),
                    .settle,
                    .renameCopy(1, "", to: "n.txt"),
                ]))
    }

    @Test func `a save over one of two equal files buries no edit of the other`() {
        check(
            DeviceScript(
                seed: 701, devices: 5,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .makeDirectory(0, "a/b"),
                    .run(milliseconds: 4000),
                    .write(0, "b", .backup),
                    .write(2, "b/m.txt", .inPlace),
                    .write(0, "a/a", .unlinkFirst),
                    .write(4, "n.txt", .inPlace),
                    .settle,
                    .rename(0, "n.txt", to: "m.txt"),
                    .writeBinary(4, "n.txt", kilobytes: 300),
                    .run(milliseconds: 500),
                    .writeSame(1, "m.txt"),
                    .edit(2, "n.txt", 1_605_479),
                    .writeSame(3, "m.txt"),
                    .settle,
                    .write(3, "m.txt", .inPlace),
                ]))
    }

    @Test func `what a file that comes back to life needs is wanted again`() {
        check(
            DeviceScript(
                seed: 1366, devices: 3,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "m.txt", .inPlace),
                    .writeBinary(0, "n.txt", kilobytes: 300),
                    .writeSlowly(2, "c", milliseconds: 146),
                    .write(1, "n.txt", .unlinkFirst),
                    .run(milliseconds: 60),
                    .partition([1, 0, 0]),
                    .exchange(0, "a", with: "n.txt"),
                ]))
    }

    @Test func `a file that is removed takes no head with it that does not show yet`() {
        check(
            DeviceScript(
                seed: 31454, devices: 3,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .open(1, "n.txt"),
                    .writeBinary(1, "n.txt", kilobytes: 300),
                    .save(1),
                    .run(milliseconds: 500),
                    .write(0, "n.txt", .unlinkFirst),
                ]))
    }

    @Test func `a copy chosen over its file merges with an edit of it`() {
        check(
            DeviceScript(
                seed: 50958, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(1, "m.txt", .inPlace),
                    .rename(1, "a", to: "c"),
                    .run(milliseconds: 100),
                    .rename(0, "c/n.txt", to: "a"),
                    .write(1, "m.txt", .inPlace),
                    .rename(0, "a", to: "m.txt"),
                    .rename(0, "m.txt", to: "k.bin"),
                    .renameCopy(0, "", to: "k.bin"),
                ]))
    }

    /// A file was held open for half a day, while another device saved it and everybody went on.
    @Test(arguments: [3, 8, 11] as [UInt64])
    func `a save over what is long succeeded shows the same to a new device`(_ seed: UInt64) {
        let work: [DeviceStep] = (0..<12).flatMap { number in
            [.write(number % 2, "f\(number)", .inPlace), .run(milliseconds: 100)]
        }
        let opened: [DeviceStep] = [
            .run(milliseconds: 4000),
            .write(0, "n.txt", .inPlace),
            .settle,
            .open(1, "n.txt"),
            .edit(0, "n.txt", 0),
            .settle,
        ]
        let settled: [DeviceStep] = [
            .settle,
            .sleep(hours: 12),
            .write(1, "x", .inPlace),
            .write(0, "y", .inPlace),
            .settle,
        ]
        let saved: [DeviceStep] = [
            .run(milliseconds: 30000),
            .settle,
            .run(milliseconds: 30000),
            .offline(1),
            .run(milliseconds: 3000),
            .save(1),
            .run(milliseconds: 3000),
            .settle,
        ]
        check(
            DeviceScript(
                seed: seed, devices: 2, steps: opened + work + settled + work + saved))
    }

    /// It had given back the first blocks: who counts from the front would never hear that it has the last.
    @Test func `a peer says what it has as soon as it is met`() {
        check(
            DeviceScript(
                seed: 1_008_399, devices: 2, isAlternating: true,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .settle,
                    .write(1, "c/n.txt", .inPlace),
                    .write(1, "k.bin", .unlinkFirst),
                    .settle,
                    .write(0, "a", .inPlace),
                    .settle,
                    .write(1, "n.txt", .inPlace),
                    .sleep(hours: 1),
                    .settle,
                    .run(milliseconds: 26),
                    .write(0, "n.txt", .inPlace),
                    .sleep(hours: 95),
                ]))
    }

    /// The version that two others would be merged over was given back everywhere.
    @Test func `bytes that nobody has any more are not waited for`() {
        check(
            DeviceScript(
                seed: 1_005_469, devices: 3,
                steps: [
                    .write(0, "a/a/m.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .write(0, "n.txt", .inPlace),
                    .writeBinary(0, "n.txt", kilobytes: 300),
                    .writeSlowly(0, "n.txt", milliseconds: 246),
                    .write(1, "n.txt", .inPlace),
                    .sleep(hours: 1),
                    .stop(0, .powerCut, afterOperations: 0),
                    .sleep(hours: 3000),
                ]))
    }

    /// What does not count was looked for in the empty log that a fork leaves behind, too.
    @Test func `a device whose log had two histories starts again`() {
        check(
            DeviceScript(
                seed: 27, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .write(1, "k.bin", .inPlace),
                    .clone(0),
                    .run(milliseconds: 3000),
                    .clone(0),
                ]))
    }

    /// It was refused for want of room, and took effect when there was some.
    @Test func `a revocation that a full disk refuses has not happened`() {
        check(
            DeviceScript(
                seed: 7010, devices: 3,
                steps: [
                    .settle,
                    .fillDisk(0),
                    .end(1, isRevoked: true),
                ]))
    }

    /// A name had changed from elsewhere before another file was put there by hand: what was renamed over that was
    /// taken for something made without having seen it, and merged with it.
    @Test func `a file renamed over what was put there here takes its place`() {
        check(
            DeviceScript(
                seed: 1_200_937, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "a/a/n.txt", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .link(0, "m.txt", to: "b"),
                    .unlink(0, "n.txt"),
                    .write(0, "b", .unlinkFirst),
                    .rename(0, "b", to: "c"),
                    .settle,
                    .rename(0, "n.txt", to: "b"),
                    .link(0, "m.txt", to: "n.txt"),
                    .write(0, "m.txt", .renameOver),
                    .rename(0, "c", to: "n.txt"),
                ]))
    }

    /// The checker's fault: the backup's text is a merge, and under no name that a program saved.
    @Test func `a backup of a merged text keeps what was merged`() {
        check(
            DeviceScript(
                seed: 700_487, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .edit(0, "n.txt", 10_382_299),
                    .edit(1, "n.txt", 8_870_338),
                    .link(0, "n.txt", to: "m.txt"),
                    .writeSlowly(0, "n.txt", milliseconds: 502),
                ]))
    }

    @Test func `a file that is made again has none of the versions of the one that is gone`() {
        check(
            DeviceScript(
                seed: 65, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "m.txt", .inPlace),
                    .write(1, "a/c/c", .inPlace),
                    .sleep(hours: 1),
                    .write(0, "a/c", .inPlace),
                    .write(1, "a", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .write(0, "c/b/n.txt", .inPlace),
                    .sleep(hours: 1),
                    .writeSame(1, "a/m.txt"),
                    .write(1, "k.bin", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .backUp(1),
                    .rename(0, "m.txt", to: "a/m.txt"),
                    .write(0, "n.txt", .inPlace),
                    .sleep(hours: 200),
                    .run(milliseconds: 100),
                    .write(1, "a", .backup),
                    .write(0, "a/a", .inPlace),
                    .putBack(1),
                    .sleep(hours: 1),
                    .edit(1, "a/m.txt", 4_374_245),
                ]))
    }

    @Test func `a save over what was removed elsewhere is seen after a checkpoint too`() {
        check(
            DeviceScript(
                seed: 371, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "m.txt", .unlinkFirst),
                    .backUp(1),
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                    .putBack(1),
                    .writeSame(1, "m.txt"),
                    .sleep(hours: 1),
                ]))
    }

    @Test func `what was removed elsewhere does not show beside what was saved here`() {
        check(
            DeviceScript(
                seed: 715, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .edit(1, "m.txt", 7_764_277),
                    .sleep(hours: 1),
                    .backUp(0),
                    .run(milliseconds: 100),
                    .write(0, "b", .backup),
                    .putBack(0),
                    .writeBinary(1, "m.txt", kilobytes: 8),
                    .sleep(hours: 3000),
                    .write(1, "m.txt", .backup),
                    .sync(1),
                    .edit(0, "m.txt", 7_738_217),
                ]))
    }

    /// The only other member has nothing from before its checkpoint, which is younger than the backup: it can neither
    /// give what came between nor prove how it goes on from there.
    @Test func `a founder who goes back behind the others' beginning goes on`() {
        check(
            DeviceScript(
                seed: 485, devices: 2,
                steps: [
                    .writeBinary(0, "b", kilobytes: 1),
                    .sleep(hours: 1),
                    .backUp(0),
                    .write(0, "k.bin", .inPlace),
                    .putBack(0),
                    .sleep(hours: 1),
                ]))
    }

    /// What had been applied before the other history was heard of waited for that, and so did the own blocks after it.
    @Test func `a view made anew while the own log has two histories is whole`() {
        check(
            DeviceScript(
                seed: 1500813, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "a/b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .stage(0, "a"),
                    .write(0, "m.txt", .inPlace),
                    .stage(1, "m.txt"),
                    .write(0, "n.txt", .inPlace),
                    .writeSame(1, "m.txt"),
                    .sleep(hours: 1),
                    .run(milliseconds: 100),
                    .write(1, "a", .renameOver),
                    .write(1, "m.txt", .renameOver),
                    .backUp(0),
                    .run(milliseconds: 100),
                    .sleep(hours: 1),
                    .putBack(0),
                    .sleep(hours: 200),
                    .run(milliseconds: 100),
                    .rebuild(0),
                    .rename(0, "a/b", to: "a/a"),
                ]))
    }

    /// Nothing is sent before the own log is committed, and nothing asked for that: it had grown, and got no block.
    @Test func `a restored device that learns how long its log is goes on speaking`() {
        check(
            DeviceScript(
                seed: 1500321, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .sleep(hours: 1),
                    .run(milliseconds: 5),
                    .sleep(hours: 1),
                    .stage(1, "b"),
                    .write(1, "a", .inPlace),
                    .write(1, "a", .renameOver),
                    .sleep(hours: 3000),
                    .makeDirectory(0, "c"),
                    .write(1, "a/b", .renameOver),
                    .makeDirectory(1, "n.txt"),
                    .sleep(hours: 1),
                    .stage(1, "m.txt"),
                    .run(milliseconds: 500),
                    .sleep(hours: 1),
                    .write(0, "b/b/k.bin", .inPlace),
                    .write(0, "c", .inPlace),
                    .write(0, "c", .inPlace),
                    .writeSlowly(0, "k.bin", milliseconds: 35),
                    .write(0, "a/m.txt", .inPlace),
                    .sleep(hours: 200),
                    .write(0, "b/k.bin", .inPlace),
                    .write(0, "b", .inPlace),
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                    .exchange(0, "n.txt", with: "a"),
                    .backUp(0),
                    .backUp(1),
                    .sleep(hours: 1),
                    .write(1, "m.txt", .inPlace),
                    .write(1, "a/a/c", .inPlace),
                    .putBack(1),
                    .putBack(1),
                    .edit(0, "m.txt", 15043376),
                    .write(0, "a/b/n.txt", .inPlace),
                    .putBack(0),
                    .sleep(hours: 200),
                    .run(milliseconds: 100),
                    .write(0, "a", .backup),
                    .run(milliseconds: 100),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "b", .inPlace),
                    .unlink(1, "n.txt"),
                    .write(1, "a/b/n.txt", .inPlace),
                    .putBack(1),
                    .putBack(0),
                ]))
    }

    /// A restored device began a new log while it wrote one.
    @Test func `a checkpoint's author is a member in it`() {
        check(
            DeviceScript(
                seed: 1501113, devices: 2,
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
                    .sleep(hours: 1),
                    .writeSlowly(0, "n.txt", milliseconds: 649),
                    .backUp(0),
                    .sleep(hours: 1),
                    .removeTree(0, "b"),
                    .putBack(0),
                    .write(1, "a", .renameOver),
                    .putBack(1),
                ]))
    }

    /// The checker went by the names that a device had given to another's save in a block that a crash took back.
    @Test func `what a lost block named is named anew`() {
        check(
            DeviceScript(
                seed: 1_800_895, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .writeSame(1, "n.txt"),
                    .edit(0, "n.txt", 8_886_085),
                    .run(milliseconds: 100),
                    .renameCopy(1, "", to: "n.txt"),
                    .stop(1, .killed, afterOperations: 0),
                    .settle,
                    .stage(1, "m.txt"),
                ]))
    }

    /// What was on its way over one slow line was asked of another instead, and back again before it came.
    @Test func `slow lines bring what they can`() {
        check(
            DeviceScript(
                seed: 1_875_286, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .writeBinary(0, "m.txt", kilobytes: 12000),
                    .write(1, "b", .renameOver),
                    .run(milliseconds: 60),
                    .write(1, "b/c/a", .inPlace),
                    .symlink(1, "b/n.txt", to: "y"),
                    .clone(1),
                    .edit(0, "a/n.txt", 6_971_632),
                    .run(milliseconds: 500),
                    .write(1, "a", .inPlace),
                    .join,
                    .write(1, "c", .inPlace),
                ]))
    }

    /// A chunk had come and was not synced; what is wanted was worked out anew, and it was not among that, being here.
    @Test func `what a power cut takes of what had come is wanted again`() {
        check(
            DeviceScript(
                seed: 1_920_118, devices: 5, isAlternating: true,
                steps: [
                    .stop(1, .powerCut, afterOperations: 0),
                    .write(1, "k.bin", .inPlace),
                    .settle,
                    .offline(4),
                    .symlink(3, "n.txt", to: "x"),
                    .run(milliseconds: 100),
                    .run(milliseconds: 287),
                    .settle,
                    .run(milliseconds: 330),
                    .write(1, "b/b", .inPlace),
                    .settle,
                    .write(2, "b", .unlinkFirst),
                    .run(milliseconds: 31),
                    .run(milliseconds: 340),
                    .settle,
                    .offline(2),
                    .run(milliseconds: 221),
                    .run(milliseconds: 196),
                    .write(1, "k.bin", .inPlace),
                    .run(milliseconds: 368),
                    .stop(1, .powerCut, afterOperations: 0),
                    .settle,
                    .offline(1),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 182),
                    .settle,
                    .writeBinary(3, "k.bin", kilobytes: 60),
                    .run(milliseconds: 93),
                    .write(3, "c", .backup),
                    .run(milliseconds: 228),
                    .stop(3, .powerCut, afterOperations: 0),
                    .settle,
                    .sync(4),
                    .stop(4, .powerCut, afterOperations: 0),
                ]))
    }

    /// It had been removed here before, and had come back.
    @Test func `what is synced of a file that was removed twice is there`() {
        check(
            DeviceScript(
                seed: 1_932_143, devices: 5,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .makeDirectory(1, "k.bin"),
                    .run(milliseconds: 3000),
                    .join,
                    .write(4, "a", .inPlace),
                    .write(2, "a/a/k.bin", .inPlace),
                    .edit(3, "n.txt", 12_637_154),
                    .unlink(4, "n.txt"),
                    .write(0, "c/a", .inPlace),
                    .run(milliseconds: 3000),
                    .stage(4, "n.txt"),
                    .unlink(5, "n.txt"),
                ]))
    }

    /// The removal stands in the log of both, and this one knew nothing of it.
    @Test func `what a copy of this device removed was not removed here`() {
        check(
            DeviceScript(
                seed: 1_965_094, devices: 3,
                steps: [
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(1, "c", .inPlace),
                    .run(milliseconds: 100),
                    .clone(0),
                    .run(milliseconds: 100),
                    .stage(0, "c"),
                    .unlink(3, "c"),
                ]))
    }

    /// The name of the own new log was in no transaction, if nothing else was to be committed.
    @Test func `a conflict has the device's name after a start, too`() {
        check(
            DeviceScript(
                seed: 1_983_108, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .clone(1),
                    .run(milliseconds: 60),
                    .write(0, "c/n.txt", .inPlace),
                    .write(2, "c", .inPlace),
                    .cut,
                    .write(2, "n.txt", .inPlace),
                    .makeDirectory(1, "k.bin"),
                    .pause(1),
                    .write(2, "a/k.bin", .inPlace),
                    .makeDirectory(0, "n.txt"),
                    .run(milliseconds: 3000),
                    .offline(0),
                    .write(1, "b", .inPlace),
                    .write(2, "m.txt", .inPlace),
                    .write(2, "n.txt", .inPlace),
                    .sync(2),
                    .clone(2),
                    .write(1, "m.txt", .inPlace),
                    .write(2, "c/a/b", .inPlace),
                    .write(2, "a/n.txt", .inPlace),
                ]))
    }
}
