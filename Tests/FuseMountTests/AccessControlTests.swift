import Glibc
import Share
import Testing

@testable import FuseMount

/// POSIX ACLs on a real mount, checked by the kernel: `setfacl` and `getfacl` say what they say on a disk.
@Suite(
    .enabled(if: canMount && geteuid() == 0 && access("/usr/bin/setfacl", X_OK) == 0), .serialized)
struct AccessControlTests {
    private static let accessName = [UInt8]("system.posix_acl_access".utf8)

    private func mounted(acl: Bool = true) throws -> TestMount {
        let mount = try TestMount { options in
            options.acl = acl
            options.allowOther = true
        }
        chmod(mount.path, 0o755)
        return mount
    }

    /// Runs a script in the mount; it says how it ended.
    private func shell(_ mount: TestMount, _ script: String) throws -> Int32 {
        try Program(["/bin/sh", "-euc", "cd '\(mount.path)'; umask 022; \(script)"]).wait()
    }

    /// Whether a file's list is this one, as `getfacl` shows it without comments.
    private func list(_ mount: TestMount, _ name: String, _ wanted: String) throws -> Bool {
        let lines = wanted.split(separator: " ").joined(separator: "\\n")
        return try shell(
            mount, "[ \"$(getfacl -cpE '\(name)')\" = \"$(printf '\(lines)')\" ]") == 0
    }

    private func stored(_ mount: TestMount, _ name: String) -> [UInt8]? {
        mount.volume.node(name).flatMap {
            try? mount.volume.extendedAttribute(Self.accessName, of: $0)
        }
    }

    @Test func `a list is set, shown, checked and taken away`() throws {
        let mount = try mounted()
        defer { mount.end() }
        try writeFile(mount.at("f"), [1])
        try check(chmod(mount.at("f"), 0o640))
        let look = ["/bin/cat", mount.at("f")]
        #expect(try Program.asStranger(look) != 0)
        #expect(try shell(mount, "setfacl -m u:12345:r f") == 0)
        #expect(
            try list(mount, "f", "user::rw- user:12345:r-- group::r-- mask::r-- other::---"))
        #expect(try Program.asStranger(look) == 0)
        // The mask is the mode's bits of the group, whoever sets which.
        try check(chmod(mount.at("f"), 0o600))
        #expect(
            try list(mount, "f", "user::rw- user:12345:r-- group::r-- mask::--- other::---"))
        #expect(try Program.asStranger(look) != 0)
        #expect(try shell(mount, "setfacl -m m::rw f") == 0)
        #expect(try status(mount.at("f")).st_mode & 0o7777 == 0o660)
        #expect(try Program.asStranger(look) == 0)
        #expect(stored(mount, "f") != nil)
        #expect(try shell(mount, "getfattr -m - f | grep -q posix_acl_access") == 0)
        // What a mode can say is no list.
        #expect(try shell(mount, "setfacl -b f") == 0)
        #expect(stored(mount, "f") == nil)
        #expect(try list(mount, "f", "user::rw- group::r-- other::---"))
        #expect(try status(mount.at("f")).st_mode & 0o7777 == 0o640)
        #expect(try Program.asStranger(look) != 0)
        #expect(mount.log == [])
    }

    @Test func `what is made in a directory inherits its default list, else the umask holds`()
        throws
    {
        let mount = try mounted()
        defer { mount.end() }
        #expect(
            try shell(
                mount,
                """
                umask 077; mkdir d plain; touch plain/f; mkdir plain/d; mkfifo plain/p
                setfacl -d -m u:12345:rwx,g::r-x,o::r d
                touch d/f; mkdir d/e; mkfifo d/p; ln -s f d/l; (umask 0; touch d/g)
                """) == 0)
        #expect(try status(mount.at("plain/f")).st_mode & 0o7777 == 0o600)
        #expect(try status(mount.at("plain/d")).st_mode & 0o7777 == 0o700)
        #expect(try status(mount.at("plain/p")).st_mode & 0o7777 == 0o600)
        for name in ["d/f", "d/g", "d/p"] {
            #expect(
                try list(
                    mount, name, "user::rw- user:12345:rwx group::r-x mask::rw- other::r--"))
            #expect(try status(mount.at(name)).st_mode & 0o7777 == 0o664)
        }
        let inherited = "default:user::rwx default:user:12345:rwx default:group::r-x"
        #expect(
            try list(
                mount, "d/e",
                "user::rwx user:12345:rwx group::r-x mask::rwx other::r-- "
                    + "\(inherited) default:mask::rwx default:other::r--"))
        #expect(try status(mount.at("d/l")).st_mode & 0o777 == 0o777)
        #expect(try shell(mount, "setfacl -k d; (umask 022; touch d/h)") == 0)
        #expect(try status(mount.at("d/h")).st_mode & 0o7777 == 0o644)
        #expect(try list(mount, "d/h", "user::rw- group::r-- other::r--"))
        // A default list that says what a mode can say is handed on as a mode.
        #expect(try shell(mount, "setfacl -d -m u::rwx,g::-,o::- plain; touch plain/g") == 0)
        #expect(try status(mount.at("plain/g")).st_mode & 0o7777 == 0o600)
        #expect(stored(mount, "plain/g") == nil)
    }

    @Test func `who is not in the group takes the setgid bit away with a list`() throws {
        let mount = try mounted()
        defer { mount.end() }
        for (index, groups) in ["--clear-groups", "--groups=777"].enumerated() {
            let name = "f\(index)"
            try writeFile(mount.at(name), [])
            try check(chown(mount.at(name), 12345, 777))
            try check(chmod(mount.at(name), 0o2755))
            let words = ["--reuid=12345", "--regid=12345", groups, "setfacl", "-m", "u:1:r"]
            #expect(
                try Program(["/usr/bin/setpriv"] + words + [mount.at(name)]).wait() == 0)
            #expect(
                try status(mount.at(name)).st_mode & 0o7777 == (index == 0 ? 0o755 : 0o2755))
        }
        // Root keeps it, and so does a list that only says what is inherited.
        try check(mkdir(mount.at("d"), 0o755))
        try check(chown(mount.at("d"), 12345, 777))
        try check(chmod(mount.at("d"), 0o2755))
        #expect(try shell(mount, "setfacl -m u:1:r d") == 0)
        #expect(
            try Program.asStranger(["/usr/bin/setfacl", "-d", "-m", "u:1:r", mount.at("d")]) == 0)
        #expect(try status(mount.at("d")).st_mode & 0o7777 == 0o2755)
        #expect(try shell(mount, "mkdir d/e") == 0)
        let inner = try status(mount.at("d/e"))
        #expect(inner.st_gid == 777 && inner.st_mode & 0o7777 == 0o2755)
    }

    @Test func `others may not set lists, and symlinks have none`() throws {
        let mount = try mounted()
        defer { mount.end() }
        try writeFile(mount.at("f"), [])
        try check(symlink("f", mount.at("l")))
        #expect(try Program.asStranger(["/usr/bin/setfacl", "-m", "u:1:r", mount.at("f")]) != 0)
        #expect(stored(mount, "f") == nil)
        let good = try #require(
            AccessControlList([
                .init(tag: .owner, permissions: 6), .init(tag: .user, permissions: 7, id: 5),
                .init(tag: .owningGroup, permissions: 4), .init(tag: .mask, permissions: 7),
                .init(tag: .other, permissions: 0),
            ])
        ).encoded
        let name = "system.posix_acl_access"
        #expect(setxattr(mount.at("f"), name, Array(good.dropLast(8)), good.count - 8, 0) == -1)
        #expect(errno == EINVAL)
        #expect(setxattr(mount.at("f"), "system.posix_acl_default", good, good.count, 0) == -1)
        #expect(errno == EACCES)
        #expect(setxattr(mount.at("f"), "system.other", good, good.count, 0) == -1)
        #expect(errno == EOPNOTSUPP)
        try check(setxattr(mount.at("f"), name, good, good.count, 0))
        #expect(getxattr(mount.at("f"), name, nil, 0) == good.count)
        try check(removexattr(mount.at("f"), name))
        #expect(getxattr(mount.at("f"), name, nil, 0) == -1 && errno == ENODATA)
        // To take away what is not there is no error.
        try check(removexattr(mount.at("f"), name))
        try check(removexattr(mount.path, "system.posix_acl_default"))
    }

    @Test func `a file without a name keeps its list`() throws {
        let mount = try mounted()
        defer { mount.end() }
        let file = try check(open(mount.at("f"), O_CREAT | O_RDWR, 0o640))
        defer { close(file) }
        #expect(try shell(mount, "setfacl -m u:5:rwx f") == 0)
        try check(unlink(mount.at("f")))
        var value = [UInt8](repeating: 0, count: 100)
        let count = fgetxattr(file, "system.posix_acl_access", &value, 100)
        let list = try #require(AccessControlList(Array(value[..<max(count, 0)])))
        #expect(list.mode == 0o670)
        let minimal = AccessControlList(
            list.entries.filter { $0.tag != .mask && !$0.tag.isNamed })
        let bytes = try #require(minimal).encoded
        try check(fsetxattr(file, "system.posix_acl_access", bytes, bytes.count, 0))
        #expect(fgetxattr(file, "system.posix_acl_access", &value, 100) == -1 && errno == ENODATA)
        #expect(try status(file).st_mode & 0o7777 == 0o640)
    }

    @Test func `lists and modes that other devices set are seen and checked at once`() throws {
        let mount = try mounted()
        defer { mount.end() }
        for name in ["f", "g"] { try writeFile(mount.at(name), [1]) }
        for name in ["f", "g"] { try check(chmod(mount.at(name), 0o640)) }
        let look = ["/bin/cat", mount.at("f")]
        #expect(try Program.asStranger(look) != 0)
        #expect(try list(mount, "f", "user::rw- group::r-- other::---"))
        #expect(try shell(mount, "setfacl -m u:12345:r g") == 0)
        let node = try #require(mount.volume.node("f"))
        let value = try #require(stored(mount, "g"))
        try mount.volume.setExtendedAttribute(
            Self.accessName, of: node, to: value, mustExist: false, mustBeNew: false)
        mount.volume.notify([.attributes(node)])
        mount.eventually("the list is checked") { (try? Program.asStranger(look)) == 0 }
        #expect(
            try list(mount, "f", "user::rw- user:12345:r-- group::r-- mask::r-- other::---"))
        try mount.volume.setModeRemotely("f", 0o600)
        mount.eventually("the mask is checked") { (try? Program.asStranger(look)) != 0 }
        #expect(
            try list(mount, "f", "user::rw- user:12345:r-- group::r-- mask::--- other::---"))
        try mount.volume.setModeRemotely("f", 0o640)
        mount.eventually("the mask is checked again") { (try? Program.asStranger(look)) == 0 }
        // What no list may be gives nobody more than the mode says of others, and the owner what is theirs.
        try mount.volume.setExtendedAttribute(
            Self.accessName, of: node, to: [9, 9], mustExist: false, mustBeNew: false)
        mount.volume.notify([.attributes(node)])
        mount.eventually("what is no list gives nothing") {
            (try? Program.asStranger(look)) != 0
        }
        #expect(try list(mount, "f", "user::rw- group::--- mask::r-- other::---"))
        #expect(try readFile(mount.at("f")) == [1])
        #expect(try shell(mount, "setfacl -b f") == 0)
        #expect(stored(mount, "f") == nil)
    }

    @Test func `a mount without the option has none, and is asked nothing for them`() throws {
        let mount = try mounted(acl: false)
        defer { mount.end() }
        try writeFile(mount.at("f"), [])
        try check(chmod(mount.at("f"), 0o640))
        _ = try status(mount.at("f"))
        let before = mount.mount.requests[.getxattr] ?? 0
        #expect(try Program.asStranger(["/bin/cat", mount.at("f")]) != 0)
        #expect(mount.mount.requests[.getxattr] ?? 0 == before)
        #expect(try shell(mount, "setfacl -m u:1:r f") != 0)
        #expect(
            mount.volume.node("f").map { (try? mount.volume.extendedAttributeNames(of: $0)) == [] }
                == true)
        let bytes = try #require(
            AccessControlList([
                .init(tag: .owner, permissions: 6), .init(tag: .owningGroup, permissions: 4),
                .init(tag: .other, permissions: 0),
            ])
        ).encoded
        #expect(setxattr(mount.at("f"), "system.posix_acl_access", bytes, bytes.count, 0) == -1)
        #expect(errno == EOPNOTSUPP)
    }

    @Test func `lists need the recorded owners`() throws {
        #expect(throws: MountError.needsRecordedOwner(option: "acl")) {
            try TestMount { options in
                options.acl = true
                options.ownership = .user(uid: 0, gid: 0, keepsGroups: true)
            }
        }
    }
}
