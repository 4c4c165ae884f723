import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

extension PosixTests {
    static let attributes: [Behaviour] = [
        Behaviour("chmod, chown and the umask") { folder in
            let old = umask(0o027)
            try writeFile(folder.at("a"), [])
            umask(old)
            #expect(try status(folder.at("a")).st_mode & 0o7777 == 0o640)
            try check(chmod(folder.at("a"), 0o4711))
            #expect(try status(folder.at("a")).st_mode & 0o7777 == 0o4711)
            guard geteuid() == 0 else { return }
            try check(chown(folder.at("a"), 1234, 5678))
            let after = try status(folder.at("a"))
            #expect(after.st_uid == 1234 && after.st_gid == 5678)
            // Giving a file away takes its setuid bit.
            #expect(after.st_mode & 0o7777 == 0o711)
        },
        Behaviour("times are kept to the nanosecond") { folder in
            try writeFile(folder.at("a"), [1])
            let times = [
                timespec(tv_sec: 1_000_000_000, tv_nsec: 123_456_789),
                timespec(tv_sec: 1_100_000_000, tv_nsec: 987_654_321),
            ]
            try check(utimensat(AT_FDCWD, folder.at("a"), times, 0))
            let after = try status(folder.at("a"))
            #expect(after.st_atim.tv_sec == 1_000_000_000 && after.st_atim.tv_nsec == 123_456_789)
            #expect(after.st_mtim.tv_sec == 1_100_000_000 && after.st_mtim.tv_nsec == 987_654_321)
        },
        Behaviour("a time that is set before close stays, for small and large files") { folder in
            let path = "\(folder.path.split(separator: "/").last ?? "")"
            for size in [10, 200_000] {
                let file = try check(open(folder.at("\(size)"), O_CREAT | O_RDWR, 0o644))
                try pwriteAll(file, randomBytes(size, seed: 1), at: 0)
                let times = [
                    timespec(tv_sec: 5, tv_nsec: 6), timespec(tv_sec: 1_100_000_000, tv_nsec: 7),
                ]
                try check(futimens(file, times))
                close(file)
                #expect(try status(folder.at("\(size)")).st_mtim.tv_sec == 1_100_000_000)
                folder.mount.eventually("published") {
                    folder.mount.volume.content("\(path)/\(size)")?.size == UInt64(size)
                }
                let number = try status(folder.at("\(size)")).st_ino
                let save = folder.mount.volume.saves.last { $0.node.rawValue == number }
                #expect(save?.modified == Timestamp(seconds: 1_100_000_000, nanoseconds: 7))
                #expect(try status(folder.at("\(size)")).st_mtim.tv_sec == 1_100_000_000)
            }
        },
        Behaviour("a time that is set after close stays, published or not") { folder in
            for size in [10, 200_000] {
                try writeFile(folder.at("\(size)"), randomBytes(size, seed: 1))
                let times = [
                    timespec(tv_sec: 5, tv_nsec: 6), timespec(tv_sec: 1_100_000_000, tv_nsec: 7),
                ]
                try check(utimensat(AT_FDCWD, folder.at("\(size)"), times, 0))
                #expect(try status(folder.at("\(size)")).st_mtim.tv_sec == 1_100_000_000)
                sleepMilliseconds(300)
                let file = try check(open(folder.at("\(size)"), O_RDONLY))
                #expect(try status(file).st_mtim.tv_sec == 1_100_000_000)
                close(file)
            }
        },
        Behaviour("writing moves mtime and ctime") { folder in
            try writeFile(folder.at("a"), [1])
            let before = try status(folder.at("a"))
            sleepMilliseconds(15)
            try writeFile(folder.at("a"), [2], 0)
            let after = try status(folder.at("a"))
            #expect(time(before.st_mtim) < time(after.st_mtim))
            #expect(time(before.st_ctim) < time(after.st_ctim))
        },
        Behaviour("extended attributes are set, listed, read and removed") { folder in
            try writeFile(folder.at("a"), [])
            let path = folder.at("a")
            try check(setxattr(path, "user.one", [1, 2, 3], 3, 0))
            try check(setxattr(path, "user.two", [], 0, 0))
            #expect(setxattr(path, "user.one", [9], 1, 1) == -1 && errno == EEXIST)
            #expect(setxattr(path, "user.three", [9], 1, 2) == -1 && errno == ENODATA)
            #expect(getxattr(path, "user.one", nil, 0) == 3)
            var value = [UInt8](repeating: 0, count: 10)
            #expect(getxattr(path, "user.one", &value, 2) == -1 && errno == ERANGE)
            #expect(getxattr(path, "user.one", &value, 10) == 3 && value[..<3] == [1, 2, 3])
            var list = [CChar](repeating: 0, count: 100)
            let count = try check(listxattr(path, &list, list.count))
            #expect(
                list[..<count].map { UInt8(bitPattern: $0) } == Array("user.one\0user.two\0".utf8))
            try check(removexattr(path, "user.one"))
            #expect(getxattr(path, "user.one", &value, 10) == -1 && errno == ENODATA)
            for name in ["system.other", "other", "holdfast.a"] {
                #expect(setxattr(path, name, [1], 1, 0) == -1 && errno == EOPNOTSUPP)
            }
            #expect(setxattr(path, "user.", [1], 1, 0) == -1 && errno == EINVAL)
            let large = [UInt8](repeating: 7, count: 65_537)
            #expect(setxattr(path, "user.l", large, large.count, 0) == -1 && errno == E2BIG)
            try check(setxattr(path, "user.l", large, large.count - 1, 0))
            #expect(getxattr(path, "user.l", nil, 0) == 65_536)
            let long = "user." + String(repeating: "n", count: 251)
            #expect(setxattr(path, long, [1], 1, 0) == -1 && errno == ERANGE)
        },
        Behaviour("who may not read trusted attributes does not see their names") { folder in
            guard geteuid() == 0 else { return }
            try writeFile(folder.at("a"), [])
            for name in ["trusted.a", "user.b", "security.c"] {
                try check(setxattr(folder.at("a"), name, [1], 1, 0))
            }
            #expect(listxattr(folder.at("a"), nil, 0) == 10 + 7 + 11)
            _ = setfsuid(12345)
            defer { _ = setfsuid(0) }
            #expect(listxattr(folder.at("a"), nil, 0) == 7 + 11)
        },
        Behaviour("extended attributes outlive the name, as long as the file is open") { folder in
            for isSaved in [false, true] {
                let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
                defer { close(file) }
                try check(fsetxattr(file, "user.a", [1], 1, 0))
                if isSaved {
                    try writeFile(folder.at("tmp"), [2])
                    try check(setxattr(folder.at("tmp"), "user.tmp", [1], 1, 0))
                    try check(rename(folder.at("tmp"), folder.at("a")))
                } else {
                    try check(unlink(folder.at("a")))
                }
                var value = [UInt8](repeating: 0, count: 10)
                #expect(fgetxattr(file, "user.a", &value, 10) == 1 && value[0] == 1)
                #expect(fgetxattr(file, "user.tmp", &value, 10) == -1 && errno == ENODATA)
                try check(fsetxattr(file, "user.b", [2, 3], 2, 1))
                #expect(fgetxattr(file, "user.b", &value, 10) == 2 && value[1] == 3)
                #expect(fsetxattr(file, "user.b", [1], 1, 1) == -1 && errno == EEXIST)
                #expect(fsetxattr(file, "user.c", [1], 1, 2) == -1 && errno == ENODATA)
            }
        },
        Behaviour("whatever is given away loses its setuid and setgid bits") { folder in
            guard geteuid() == 0 else { return }
            for (index, kind) in [S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR].enumerated() {
                let path = folder.at("\(index)")
                try check(mknod(path, kind | 0o644, kind == S_IFCHR ? 0x0103 : 0))
                try check(chmod(path, 0o6755))
                try check(chown(path, 1234, 5678))
                #expect(try status(path).st_mode & 0o7777 == 0o755)
            }
            try check(mkdir(folder.at("d"), 0o755))
            try check(chmod(folder.at("d"), 0o6755))
            try check(chown(folder.at("d"), 1234, 5678))
            #expect(try status(folder.at("d")).st_mode & 0o7777 == 0o6755)
        },
        Behaviour("a setgid directory hands its group on") { folder in
            guard geteuid() == 0 else { return }
            try check(mkdir(folder.at("d"), 0o755))
            try check(chown(folder.at("d"), 0, 4321))
            try check(chmod(folder.at("d"), 0o2775))
            try writeFile(folder.at("d/a"), [])
            try check(mkdir(folder.at("d/e"), 0o755))
            #expect(try status(folder.at("d/a")).st_gid == 4321)
            let inner = try status(folder.at("d/e"))
            #expect(inner.st_gid == 4321 && inner.st_mode & 0o7777 == 0o2755)
        },
        Behaviour("statfs tells of the share, and of what is free on the disk") { folder in
            var before = statvfs()
            try check(statvfs(folder.path, &before))
            #expect(before.f_bsize == 4096 && before.f_frsize == 4096 && before.f_namemax == 255)
            #expect(before.f_bavail == (1 << 40) / 4096 && before.f_bfree == before.f_bavail)
            try writeFile(folder.at("large"), [UInt8](repeating: 1, count: 1 << 20))
            var after = statvfs()
            try check(statvfs(folder.path, &after))
            let used = (before.f_blocks - before.f_bfree, after.f_blocks - after.f_bfree)
            #expect(used.1 == used.0 + 256)
            let files = (before.f_files - before.f_ffree, after.f_files - after.f_ffree)
            #expect(files.1 == files.0 + 1)
            #expect(after.f_favail == after.f_ffree && after.f_ffree > 0)
        },
    ]
}
