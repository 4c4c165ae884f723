import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// What mount(8) and umount(8) do with a share, the daemon included.
    struct MountHelperTests {
        private func help(_ device: Device, _ words: String...) throws -> Outcome {
            let arguments = [Machine.program, "mount.fuse.holdfast"] + words
            return try device.place.start(arguments, extra: device.environment)
                .finish(within: .seconds(60))
        }

        @Test func `a share is mounted and unmounted as a disk is`() throws {
            try Place.use(.seconds(60), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                try alice.create("things")
                try alice.write("kept", to: "file")
                for round in 0..<3 {
                    // Not waiting for the daemon, which goes on saving.
                    try place.shell("fusermount3 -u '\(alice.mountPoint)'")
                    let outcome = try help(
                        alice, "things", alice.mountPoint, "-o", "rw,noatime,nofail,x-test")
                    #expect(outcome.code == 0, "\(outcome.errors)")
                    #expect(alice.isMounted)
                    try alice.write("\(round)", to: "round \(round)")
                }
                let table = try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)
                #expect(table.contains(" \(alice.mountPoint) "))
                #expect(table.contains(" - fuse.holdfast things "))
                #expect(try help(alice, "things", alice.mountPoint).code == 32)
                #expect(try help(alice, "nothing", alice.mountPoint).code == 32)
                #expect(try help(alice, "things", alice.mountPoint, "-o", "quota").code == 1)
                try place.shell("fusermount3 -u '\(alice.mountPoint)'")
                #expect(wait(.seconds(10)) { alice.daemons.isEmpty })
                #expect(
                    try help(alice, "things", alice.mountPoint, "-o", "ro,owner=recorded").code == 0
                )
                #expect(alice.names() == ["file", "round 0", "round 1", "round 2"])
                #expect(open(alice.path("file"), O_WRONLY) == -1)
                #expect(errno == EROFS)
                try alice.unmount()
            }
        }

        @Test func `umount returns when all is saved, and refuses while somebody is inside`() throws
        {
            try Place.use(.seconds(60), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                try alice.create("things")
                func unmount(_ words: String...) throws -> Outcome {
                    let arguments = [Machine.program, "umount.fuse.holdfast", alice.mountPoint]
                    return try place.start(arguments + words, extra: alice.environment)
                        .finish(within: .seconds(60))
                }
                let bytes = [UInt8](repeating: 7, count: 30_000_000)
                try Files.write(bytes, to: alice.path("large"))
                let file = open(alice.path("large"), O_RDONLY)
                #expect(try unmount("-v", "-t", "fuse.holdfast").code == 32)
                #expect(alice.isMounted)
                // Who is inside for a moment only keeps nobody: the daemon itself may be that.
                let leaving = Thread {
                    usleep(300_000)
                    close(file)
                }
                leaving.start()
                #expect(try unmount().code == 0)
                #expect(!alice.isMounted)
                #expect(alice.daemons.isEmpty)
                try alice.mount()
                #expect(alice.read("large") == bytes)
                #expect(try unmount("-x").code == 1)
                #expect(try unmount("-l").code == 0)
                #expect(wait(.seconds(10)) { alice.daemons.isEmpty })
            }
        }

        @Test(.enabled(if: Machine.isRoot))
        func `root changes a mount, shows it twice and chooses whose files are`() throws {
            try Place.use(.seconds(60), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                try alice.create("things")
                try alice.write("kept", to: "file")
                chown(alice.path("file"), 77, 78)
                try alice.unmount()
                #expect(
                    try help(alice, "things", alice.mountPoint, "-o", "owner=user,uid=1234").code
                        == 0)
                var status = stat()
                #expect(stat(alice.path("file"), &status) == 0)
                #expect(status.st_uid == 1234 && status.st_gid == getegid())

                let other = "\(place.path)/other"
                mkdir(other, 0o755)
                #expect(try help(alice, "things", other, "-o", "ro").code == 0)
                #expect(Files.read("\(other)/file") == Array("kept".utf8))
                #expect(open("\(other)/file", O_WRONLY) == -1)
                #expect(errno == EROFS)
                try alice.write("more", to: "new")
                try place.shell("umount '\(other)'")

                #expect(try help(alice, "things", alice.mountPoint, "-o", "remount,ro").code == 0)
                #expect(open(alice.path("file"), O_WRONLY) == -1)
                #expect(try help(alice, "things", alice.mountPoint, "-o", "remount,rw").code == 0)
                try alice.write("again", to: "file")
                try alice.unmount()
                try alice.mount()
                #expect(stat(alice.path("file"), &status) == 0)
                #expect(status.st_uid == 77 && status.st_gid == 78)
                try alice.unmount()
            }
        }
    }
}
