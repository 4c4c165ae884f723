import Base
import Glibc
import Host
import Testing

@Suite struct MountTableTests {
    @Test func `mountinfo is read with its escapes and optional fields`() throws {
        let table = MountTable(
            parsing: #"""
                22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
                36 22 0:31 / /home/me/my\040files\134x rw,nosuid - fuse.holdfast holdfast rw,user_id=0
                37 22 0:32 / /tmp/a rw shared:5 master:2 - tmpfs tmpfs rw
                38 37 0:33 / /tmp/a rw - fuse.sshfs host: rw
                garbage
                40 41
                """#)
        #expect(table.entries.count == 4)
        #expect(table.entry(at: #"/home/me/my files\x"#)?.type == "fuse.holdfast")
        #expect(table.entry(at: "/tmp/a")?.type == "fuse.sshfs")
        #expect(table.entry(at: "/tmp") == nil)
    }

    @Test func `this machine's own table has a root`() throws {
        #expect(try MountTable.current().entry(at: "/") != nil)
        #expect(try KernelMount.isMounted("/proc"))
    }

    @Test func `what stands at a mount point is told apart`() throws {
        let folder = TemporaryFolder()
        #expect(try KernelMount.state(of: folder.path) == .plain(isEmpty: true))
        folder.write("file", "text")
        #expect(try KernelMount.state(of: folder.path) == .plain(isEmpty: false))
        #expect(try KernelMount.state(of: "\(folder.path)/file") == .notDirectory)
        #expect(try KernelMount.state(of: "\(folder.path)/none") == .missing)
        #expect(try KernelMount.state(of: "\(folder.path)/file/below") == .missing)
        #expect(try KernelMount.state(of: "/proc") == .otherMount(type: "proc"))
        #expect(
            try KernelMount.waitUntilGone(folder.path, deadline: monotonicNow() + .seconds(1)))
        #expect(try !KernelMount.waitUntilGone("/proc", deadline: monotonicNow()))
    }

    @Test func `the end of a process that is no child is noticed`() {
        #expect(!waitForEnd(of: getpid(), deadline: monotonicNow() + .milliseconds(30)))
        #expect(waitForEnd(of: 0, deadline: monotonicNow()))
    }
}
