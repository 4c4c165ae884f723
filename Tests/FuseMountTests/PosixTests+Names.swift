import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

extension PosixTests {
    static let names: [Behaviour] = [
        Behaviour("a file that was made is listed and found") { folder in
            try writeFile(folder.at("a"), [1, 2, 3])
            #expect(try FuseMountTests.names(folder.path) == ["a"])
            #expect(try status(folder.at("a")).st_size == 3)
        },
        Behaviour("an absent name is ENOENT, and is found once it is there") { folder in
            #expect(code { _ = try status(folder.at("x")) } == ENOENT)
            #expect(code { _ = try status(folder.at("x")) } == ENOENT)
            try writeFile(folder.at("x"), [])
            _ = try status(folder.at("x"))
        },
        Behaviour("O_EXCL refuses a name that is taken") { folder in
            try writeFile(folder.at("a"), [])
            #expect(open(folder.at("a"), O_CREAT | O_EXCL | O_RDWR, 0o644) == -1 && errno == EEXIST)
        },
        Behaviour("names of 255 bytes work, longer ones are ENAMETOOLONG") { folder in
            let longest = String(repeating: "n", count: 255)
            try writeFile(folder.at(longest), [1])
            #expect(try FuseMountTests.names(folder.path) == [longest])
            #expect(code { try writeFile(folder.at(longest + "n"), [1]) } == ENAMETOOLONG)
        },
        Behaviour("names are bytes") { folder in
            for name in ["é", "e\u{301}", "\u{202e}", " ", "a\nb", "*"] {
                try writeFile(folder.at(name), Array(name.utf8))
            }
            for name in ["é", "e\u{301}", "\u{202e}", " ", "a\nb", "*"] {
                #expect(try readFile(folder.at(name)) == Array(name.utf8))
            }
            #expect(try FuseMountTests.names(folder.path).count == 6)
        },
        Behaviour("mkdir counts links above, rmdir takes them back") { folder in
            let before = try status(folder.path).st_nlink
            try check(mkdir(folder.at("d"), 0o755))
            #expect(try status(folder.path).st_nlink == before + 1)
            #expect(try status(folder.at("d")).st_nlink == 2)
            try check(rmdir(folder.at("d")))
            #expect(try status(folder.path).st_nlink == before)
        },
        Behaviour("a directory's times follow its entries") { folder in
            let before = try status(folder.path).st_mtim
            sleepMilliseconds(15)
            try writeFile(folder.at("a"), [])
            let made = try status(folder.path).st_mtim
            #expect(time(before) < time(made))
            sleepMilliseconds(15)
            try check(unlink(folder.at("a")))
            #expect(time(made) < time(try status(folder.path).st_mtim))
        },
        Behaviour("rmdir refuses what is not empty or no directory") { folder in
            try check(mkdir(folder.at("d"), 0o755))
            try writeFile(folder.at("d/a"), [])
            #expect(rmdir(folder.at("d")) == -1 && errno == ENOTEMPTY)
            #expect(rmdir(folder.at("d/a")) == -1 && errno == ENOTDIR)
            #expect(unlink(folder.at("d")) == -1 && (errno == EISDIR || errno == EPERM))
        },
        Behaviour("hard links share bytes, number and count") { folder in
            try writeFile(folder.at("a"), [1])
            try check(link(folder.at("a"), folder.at("b")))
            try writeFile(folder.at("b"), [2, 3])
            #expect(try readFile(folder.at("a")) == [2, 3])
            let (first, second) = (try status(folder.at("a")), try status(folder.at("b")))
            #expect(first.st_ino == second.st_ino && first.st_nlink == 2)
            try check(unlink(folder.at("a")))
            #expect(try status(folder.at("b")).st_nlink == 1)
            #expect(try readFile(folder.at("b")) == [2, 3])
        },
        Behaviour("symlinks show what was written into them") { folder in
            let target = String(repeating: "t/", count: 2000) + "end"
            try check(symlink(target, folder.at("l")))
            var buffer = [CChar](repeating: 0, count: 5000)
            let count = try check(readlink(folder.at("l"), &buffer, buffer.count))
            #expect(count == target.utf8.count)
            #expect(buffer[..<count].map { UInt8(bitPattern: $0) } == Array(target.utf8))
            #expect(try status(folder.at("l")).st_size == off_t(target.utf8.count))
            try writeFile(folder.at("a"), [7])
            try check(symlink("a", folder.at("m")))
            #expect(try readFile(folder.at("m")) == [7])
        },
        Behaviour("rename moves, replaces and keeps the moved file's bytes") { folder in
            try writeFile(folder.at("a"), [1])
            try check(rename(folder.at("a"), folder.at("b")))
            #expect(try FuseMountTests.names(folder.path) == ["b"])
            try writeFile(folder.at("c"), [2])
            try check(rename(folder.at("c"), folder.at("b")))
            #expect(try FuseMountTests.names(folder.path) == ["b"])
            #expect(try readFile(folder.at("b")) == [2])
            #expect(try status(folder.at("b")).st_nlink == 1)
        },
        Behaviour("rename of a directory keeps what is in it, and refuses itself") { folder in
            try check(mkdir(folder.at("d"), 0o755))
            try writeFile(folder.at("d/a"), [1])
            try check(rename(folder.at("d"), folder.at("e")))
            #expect(try readFile(folder.at("e/a")) == [1])
            try check(mkdir(folder.at("e/f"), 0o755))
            #expect(rename(folder.at("e"), folder.at("e/f/g")) == -1 && errno == EINVAL)
            try check(mkdir(folder.at("full"), 0o755))
            try writeFile(folder.at("full/x"), [])
            #expect(rename(folder.at("e"), folder.at("full")) == -1 && errno == ENOTEMPTY)
            try check(mkdir(folder.at("empty"), 0o755))
            try check(rename(folder.at("e"), folder.at("empty")))
            #expect(try readFile(folder.at("empty/a")) == [1])
        },
        Behaviour("rename between hard links of one file does nothing") { folder in
            try writeFile(folder.at("a"), [1])
            try check(link(folder.at("a"), folder.at("b")))
            try check(rename(folder.at("a"), folder.at("b")))
            #expect(try FuseMountTests.names(folder.path) == ["a", "b"])
        },
        Behaviour("renameat2 exchanges, refuses to replace, and knows no other flag") { folder in
            try writeFile(folder.at("a"), [1])
            try check(mkdir(folder.at("d"), 0o755))
            #expect(
                renameat2(AT_FDCWD, folder.at("a"), AT_FDCWD, folder.at("d"), 1) == -1
                    && errno == EEXIST)
            try check(renameat2(AT_FDCWD, folder.at("a"), AT_FDCWD, folder.at("d"), 2))
            #expect(try readFile(folder.at("d")) == [1])
            #expect(try FuseMountTests.names(folder.at("a")) == [])
            try check(renameat2(AT_FDCWD, folder.at("d"), AT_FDCWD, folder.at("e"), 1))
            #expect(
                renameat2(AT_FDCWD, folder.at("e"), AT_FDCWD, folder.at("x"), 2) == -1
                    && errno == ENOENT)
            #expect(
                renameat2(AT_FDCWD, folder.at("e"), AT_FDCWD, folder.at("x"), 4) == -1
                    && errno == EINVAL)
        },
        Behaviour("an open file that is renamed over goes on showing its bytes") { folder in
            try writeFile(folder.at("f"), [1, 1, 1])
            let old = try check(open(folder.at("f"), O_RDONLY))
            defer { close(old) }
            let number = try status(old).st_ino
            try writeFile(folder.at("tmp"), [2, 2])
            let newNumber = try status(folder.at("tmp")).st_ino
            try check(rename(folder.at("tmp"), folder.at("f")))
            #expect(try readFile(folder.at("f")) == [2, 2])
            #expect(try readAll(old) == [1, 1, 1])
            let after = try status(old)
            #expect(after.st_nlink == 0 && after.st_size == 3)
            #expect(after.st_ino == number)
            #expect(try status(folder.at("f")).st_ino == newNumber)
        },
        Behaviour("a file that is renamed over another while written goes on") { folder in
            try writeFile(folder.at("f"), [1])
            let file = try check(open(folder.at("tmp"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try pwriteAll(file, [2, 2], at: 0)
            try check(rename(folder.at("tmp"), folder.at("f")))
            try pwriteAll(file, [3], at: 2)
            #expect(try readFile(folder.at("f")) == [2, 2, 3])
            #expect(try status(file).st_ino == (try status(folder.at("f"))).st_ino)
        },
        Behaviour("an unlinked open file keeps its bytes and takes more") { folder in
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try pwriteAll(file, [1, 2], at: 0)
            try check(unlink(folder.at("a")))
            #expect(try FuseMountTests.names(folder.path) == [])
            #expect(try status(file).st_nlink == 0)
            try pwriteAll(file, randomBytes(10_000, seed: 1), at: 2)
            #expect(try readAll(file) == [1, 2] + randomBytes(10_000, seed: 1))
            try check(ftruncate(file, 1))
            #expect(try status(file).st_size == 1)
            try check(fchmod(file, 0o600))
            #expect(try status(file).st_mode & 0o777 == 0o600)
            try writeFile(folder.at("a"), [9])
            #expect(try readAll(file) == [1])
        },
        Behaviour("a removed directory that is open is empty and takes nothing") { folder in
            try check(mkdir(folder.at("d"), 0o755))
            let directory = try check(open(folder.at("d"), O_RDONLY | O_DIRECTORY))
            defer { close(directory) }
            try check(rmdir(folder.at("d")))
            #expect(try status(directory).st_nlink == 0)
            #expect(openat(directory, "a", O_CREAT | O_RDWR, 0o644) == -1 && errno == ENOENT)
        },
        Behaviour("a large directory is listed whole while it shrinks") { folder in
            for index in 0..<500 { try writeFile(folder.at("file \(index)"), []) }
            guard let directory = opendir(folder.path) else { throw Failure(code: errno) }
            defer { closedir(directory) }
            var seen = Set<String>()
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                guard name != ".", name != ".." else { continue }
                #expect(seen.insert(name).inserted)
                unlink(folder.at(name))
            }
            #expect(seen.count == 500)
            #expect(try FuseMountTests.names(folder.path) == [])
        },
        Behaviour("rewinddir shows what has come since") { folder in
            guard let directory = opendir(folder.path) else { throw Failure(code: errno) }
            defer { closedir(directory) }
            while readdir(directory) != nil {}
            try writeFile(folder.at("late"), [])
            rewinddir(directory)
            var count = 0
            while readdir(directory) != nil { count += 1 }
            #expect(count == 3)
        },
        Behaviour("telldir and seekdir come back to an entry") { folder in
            for index in 0..<50 { try writeFile(folder.at("\(index)"), []) }
            guard let directory = opendir(folder.path) else { throw Failure(code: errno) }
            defer { closedir(directory) }
            for _ in 0..<20 { _ = readdir(directory) }
            let place = telldir(directory)
            let number = readdir(directory)?.pointee.d_ino
            while readdir(directory) != nil {}
            seekdir(directory, place)
            #expect(readdir(directory)?.pointee.d_ino == number)
        },
        Behaviour("a symlink's target is 1 to 4095 bytes") { folder in
            #expect(symlink("", folder.at("l")) == -1 && errno == ENOENT)
            let longest = String(repeating: "n", count: 4095)
            #expect(symlink(longest + "n", folder.at("l")) == -1 && errno == ENAMETOOLONG)
            try check(symlink(longest, folder.at("l")))
            #expect(open(folder.at("l"), O_RDONLY) == -1 && errno == ENAMETOOLONG)
            try check(symlink("self", folder.at("self")))
            #expect(open(folder.at("self"), O_RDONLY) == -1 && errno == ELOOP)
            #expect(open(folder.at("self"), O_RDONLY | O_NOFOLLOW) == -1 && errno == ELOOP)
        },
        Behaviour("a listing shows the numbers that stat shows, after a save by rename too") {
            folder in
            try writeFile(folder.at("f"), [1])
            try writeFile(folder.at("tmp"), [2])
            try check(rename(folder.at("tmp"), folder.at("f")))
            try check(link(folder.at("f"), folder.at("g")))
            guard let directory = opendir(folder.path) else { throw Failure(code: errno) }
            defer { closedir(directory) }
            let number = try status(folder.at("f")).st_ino
            var listed: [ino_t] = []
            while let entry = readdir(directory) {
                if entry.pointee.d_type == UInt8(DT_REG) { listed.append(entry.pointee.d_ino) }
            }
            #expect(listed == [number, number])
        },
        Behaviour("a fifo's device number means nothing") { folder in
            guard geteuid() == 0 else { return }
            try check(mknod(folder.at("fifo"), S_IFIFO | 0o600, 0x0105))
            #expect(try status(folder.at("fifo")).st_rdev == 0)
        },
        Behaviour("special files keep kind and number") { folder in
            try check(mkfifo(folder.at("fifo"), 0o640))
            #expect(try status(folder.at("fifo")).st_mode & S_IFMT == S_IFIFO)
            guard geteuid() == 0 else { return }
            try check(mknod(folder.at("device"), S_IFCHR | 0o600, 0x0105))
            let device = try status(folder.at("device"))
            #expect(device.st_mode & S_IFMT == S_IFCHR && device.st_rdev == 0x0105)
            // Nothing on a mount is opened as a device unless root asked for it.
            #expect(open(folder.at("device"), O_RDONLY) == -1 && errno == EACCES)
        },
    ]
}
