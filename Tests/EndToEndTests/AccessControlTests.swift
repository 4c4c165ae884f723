import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// POSIX ACLs on mounts that have them, with the programs that carry them about and several users.
    struct AccessControlTests {
        /// Two devices whose mounts let others in and keep lists.
        private func pair(in place: Place) throws -> Pair {
            let pair = try Pair(in: place)
            for device in pair.both {
                try device.unmount()
                let outcome = try device.holdfast(
                    "mount", device.mountPoint, "--acl", "--allow-other", within: .seconds(60))
                try #require(outcome.code == 0, "\(outcome.errors)")
            }
            chmod(Janitor.root, 0o755)
            return pair
        }

        /// Cancels the test where it cannot be run.
        private func requirePrograms(_ programs: String...) throws {
            guard Machine.isRoot else { try Test.cancel("only root can be several users") }
            for program in programs where Machine.find(program) == nil {
                try Test.cancel("\(program) is not installed")
            }
        }

        private static let tree = """
            umask 022; mkdir tree && cd tree && mkdir plain shared private
            for f in a b c; do echo $f >plain/$f; done
            setfacl -m u:2001:rw plain/a && setfacl -m g:2002:r,m::r plain/b
            setfacl -d -m u:2001:rwx,g::rx,o::- shared && echo d >shared/d && mkdir shared/e
            setfacl -m u:2001:x,g:2002:rwx,o::- private && chmod g=x private
            setfacl -m u:2001:- plain/c && ln -s plain/a link && mkfifo shared/pipe
            """

        @Test func `cp, rsync and tar keep lists, and other devices show them`() throws {
            try requirePrograms("setfacl", "getfacl", "rsync", "tar")
            try Place.use(.seconds(90)) { place in
                let local = place.path + "/local"
                try Files.makeFolder(local)
                guard (try? place.shell(Self.tree, in: local)) != nil else {
                    try Test.cancel("the disk of \\(local) keeps no lists")
                }
                let pair = try pair(in: place)
                let work = pair.alice.mountPoint
                try place.shell(Self.tree, in: work)
                try place.shell(
                    """
                    cp -a '\(local)/tree' copied
                    rsync -aA '\(local)/tree/' synced/
                    mkdir packed && tar --acls -C tree -cf - . | tar --acls -C packed -xpf -
                    [ -z "$(rsync -rlpgoADcni tree/ copied/)" ]
                    """, in: work)
                func lists(_ folder: String) throws -> String {
                    try place.shell(
                        "getfacl -pn $(find . ! -type l | sort) && stat -c '%a %n' $(find . | sort)",
                        in: folder)
                }
                let wanted = try lists("\(local)/tree")
                #expect(wanted.contains("user:2001:") && wanted.contains("default:mask::rwx"))
                try pair.converge()
                for device in pair.both {
                    for copy in ["tree", "copied", "synced", "packed"] {
                        #expect(try lists(device.path(copy)) == wanted, "\(device.name): \(copy)")
                    }
                }
                // They outlive the daemon, and a mount without the option shows none but keeps them.
                try pair.bob.unmount()
                try pair.bob.mount()
                #expect(
                    try place.shell("getfacl -cnp plain/a", in: pair.bob.path("tree"))
                        == "user::rw-\ngroup::rw-\nother::r--\n\n")
                try place.shell("touch plain/a", in: pair.bob.path("tree"))
                try pair.converge()
                #expect(try lists(pair.alice.path("tree")) == wanted)
                for device in pair.both { try device.check() }
            }
        }

        @Test func `several users may do what lists and modes say, on every device`() throws {
            try requirePrograms("setfacl", "setpriv")
            try Place.use(.seconds(60)) { place in
                let pair = try pair(in: place)
                try place.shell(
                    """
                    umask 022; echo x >f && chmod 640 f && setfacl -m u:2001:r,g:2002:rw f
                    mkdir d && setfacl -m u:2001:rwx d && setfacl -d -m u:2001:rw,g:2002:r,o::- d
                    """, in: pair.alice.mountPoint)
                try pair.converge()
                /// Whether a user of a group can do it.
                func can(_ device: Device, _ user: Int, _ group: Int, _ script: String) throws
                    -> Bool
                {
                    try place.start(
                        [
                            "setpriv", "--reuid=\(user)", "--regid=\(group)", "--clear-groups",
                            "/bin/sh", "-euc", "umask 022; cd '\(device.mountPoint)'; \(script)",
                        ]
                    ).finish(within: .seconds(20)).code == 0
                }
                for device in pair.both {
                    #expect(try can(device, 2001, 3000, "cat f"))
                    #expect(try !can(device, 2001, 3000, "echo y >>f"))
                    #expect(try can(device, 3001, 2002, "cat f && echo y >>f"))
                    #expect(try !can(device, 3001, 3001, "cat f"))
                    #expect(try !can(device, 2001, 3000, "chmod 666 f || setfacl -m u:2001:rwx f"))
                    #expect(try !can(device, 3001, 2002, "echo >d/no"))
                    let name = "d/\(device.name)"
                    #expect(
                        try can(
                            device, 2001, 3000,
                            "echo mine >\(name) && [ $(stat -c %a \(name)) = 660 ]"))
                    #expect(try can(device, 3001, 2002, "cat \(name)"))
                    #expect(try !can(device, 3001, 3001, "cat \(name)"))
                }
                // The mask goes with the mode, and comes back with it.
                try place.shell("chmod 600 f", in: pair.bob.mountPoint)
                try pair.converge()
                for device in pair.both { #expect(try !can(device, 2001, 3000, "cat f")) }
                try place.shell("chmod 640 f", in: pair.alice.mountPoint)
                try pair.converge()
                for device in pair.both { #expect(try can(device, 2001, 3000, "cat f")) }
                // At once and apart: one changes the mode, the other the list.
                for device in pair.both { try device.pause() }
                try place.shell("chmod 604 f", in: pair.alice.mountPoint)
                try place.shell("setfacl -m u:2003:rw f", in: pair.bob.mountPoint)
                for device in pair.both { try device.resume() }
                try pair.converge()
                let shown = try pair.both.map {
                    try place.shell("getfacl -cnp f; stat -c %a f", in: $0.mountPoint)
                }
                #expect(shown[0] == shown[1])
                #expect(shown[0].contains("user:2003:rw-"))
                for device in pair.both {
                    #expect(try !can(device, 3001, 3001, "echo y >>f"))
                    #expect(
                        try can(device, 2001, 3000, "cat f") == can(pair.alice, 2001, 3000, "cat f")
                    )
                }
            }
        }

        @Test func `lists are refused where owners are not those recorded`() throws {
            try Place.use(.seconds(30)) { place in
                let alice = Device("alice", in: place)
                for words in ["--owner=user", "--uid=5"] {
                    let outcome = try alice.holdfast("create", alice.mountPoint, "--acl", words)
                    #expect(outcome.code != 0)
                    #expect(outcome.errors.contains("owner=recorded"))
                    #expect(!alice.isMounted)
                }
            }
        }
    }
}
