import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

extension PosixTests {
    static let files: [Behaviour] = [
        Behaviour("small and large files read back as written") { folder in
            for (index, size) in [0, 1, 4095, 4096, 4097, 131_072, 1_000_001].enumerated() {
                let bytes = randomBytes(size, seed: UInt64(size))
                try writeFile(folder.at("\(index)"), bytes)
                #expect(try readFile(folder.at("\(index)")) == bytes, "\(size) bytes")
            }
        },
        Behaviour("bytes are published when the file is closed") { folder in
            let path = "\(folder.path.split(separator: "/").last ?? "")"
            let bytes = randomBytes(300_000, seed: 4)
            try writeFile(folder.at("small"), [5])
            folder.mount.settle()
            #expect(try folder.mount.volume.bytes(path + "/small") == [5])
            try writeFile(folder.at("large"), bytes)
            try folder.mount.eventually("the large file is published") {
                try folder.mount.volume.bytes(path + "/large") == bytes
            }
        },
        Behaviour("O_APPEND writes at the end whatever was read") { folder in
            try writeFile(folder.at("a"), [1, 2])
            let file = try check(open(folder.at("a"), O_RDWR | O_APPEND))
            defer { close(file) }
            lseek(file, 0, SEEK_SET)
            try writeAll(file, [3])
            try writeFile(folder.at("a"), [4], O_APPEND)
            try writeAll(file, [5])
            #expect(try readAll(file) == [1, 2, 3, 4, 5])
        },
        Behaviour("O_TRUNC empties, and others who have it open see that") { folder in
            try writeFile(folder.at("a"), randomBytes(10_000, seed: 2))
            let reader = try check(open(folder.at("a"), O_RDONLY))
            defer { close(reader) }
            try writeFile(folder.at("a"), [1])
            #expect(try readAll(reader) == [1])
        },
        Behaviour("what lies past a cut is zeros when the file grows again") { folder in
            for size in [100, 4096, 70_000] {
                let bytes = randomBytes(size, seed: 3)
                try writeFile(folder.at("\(size)"), bytes)
                try check(truncate(folder.at("\(size)"), size / 2))
                try check(truncate(folder.at("\(size)"), size))
                let expected = bytes[..<(size / 2)] + Array(repeating: 0, count: size - size / 2)
                #expect(try readFile(folder.at("\(size)")) == Array(expected), "\(size)")
            }
        },
        Behaviour("writing past the end leaves zeros between") { folder in
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try pwriteAll(file, [1], at: 0)
            try pwriteAll(file, [2], at: 200_000)
            let bytes = try readAll(file)
            #expect(bytes.count == 200_001 && bytes[0] == 1 && bytes[200_000] == 2)
            #expect(bytes[1..<200_000].allSatisfy { $0 == 0 })
        },
        Behaviour("SEEK_DATA and SEEK_HOLE find the ends of sparse data") { folder in
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try check(ftruncate(file, 2 << 20))
            try pwriteAll(file, randomBytes(1000, seed: 9), at: 1 << 20)
            let data = lseek(file, 0, 3)
            #expect(data > 0 && data <= 1 << 20)
            let hole = lseek(file, data, 4)
            #expect(hole >= 1 << 20 + 1000 && hole <= 2 << 20)
            #expect(lseek(file, 3 << 20, 3) == -1 && errno == ENXIO)
        },
        Behaviour("fallocate grows, keeps the size, punches and zeroes") { folder in
            let bytes = randomBytes(100_000, seed: 6)
            try writeFile(folder.at("a"), bytes)
            let file = try check(open(folder.at("a"), O_RDWR))
            defer { close(file) }
            #expect(posix_fallocate(file, 0, 150_000) == 0)
            #expect(try status(file).st_size == 150_000)
            #expect(try Array(readAll(file)[..<100_000]) == bytes)
            let (keepSize, punchHole, zeroRange) = (Int32(1), Int32(2), Int32(16))
            try check(fallocate(file, keepSize, 0, 200_000))
            #expect(try status(file).st_size == 150_000)
            try check(fallocate(file, punchHole | keepSize, 1000, 2000))
            try check(fallocate(file, zeroRange, 140_000, 20_000))
            var expected = bytes + Array(repeating: 0, count: 60_000)
            expected.replaceSubrange(1000..<3000, with: Array(repeating: 0, count: 2000))
            #expect(try readAll(file) == expected)
            let collapse = Int32(8)
            #expect(fallocate(file, collapse, 0, 4096) == -1 && errno == EOPNOTSUPP)
        },
        Behaviour("copying a range copies bytes") { folder in
            let bytes = randomBytes(500_000, seed: 8)
            try writeFile(folder.at("a"), bytes)
            let source = try check(open(folder.at("a"), O_RDONLY))
            let target = try check(open(folder.at("b"), O_CREAT | O_RDWR, 0o644))
            defer {
                close(source)
                close(target)
            }
            var from: off_t = 1000
            var to: off_t = 10
            let count = try check(copy_file_range(source, &from, target, &to, 300_000, 0))
            #expect(count == 300_000 && from == 301_000 && to == 300_010)
            #expect(try Array(readAll(target)[10...]) == Array(bytes[1000..<301_000]))
        },
        Behaviour("copying a whole stored file shares it") { folder in
            let path = "\(folder.path.split(separator: "/").last ?? "")"
            let bytes = randomBytes(400_000, seed: 10)
            try writeFile(folder.at("a"), bytes)
            try folder.mount.eventually("the file is published") {
                try folder.mount.volume.bytes(path + "/a") == bytes
            }
            try folder.mount.mount.flushAll()
            let appended = folder.mount.chunks.appended
            let source = try check(open(folder.at("a"), O_RDONLY))
            let target = try check(open(folder.at("b"), O_CREAT | O_RDWR, 0o644))
            var (from, to) = (off_t(0), off_t(0))
            #expect(copy_file_range(source, &from, target, &to, 1 << 30, 0) == 400_000)
            close(source)
            close(target)
            #expect(try readFile(folder.at("b")) == bytes)
            folder.mount.eventually("the copy is published") {
                folder.mount.volume.content(path + "/b")
                    == folder.mount.volume.content(path + "/a")
            }
            #expect(folder.mount.chunks.appended == appended)
        },
        Behaviour("writes are seen by others at once, before close") { folder in
            let writer = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(writer) }
            try pwriteAll(writer, randomBytes(20_000, seed: 11), at: 0)
            #expect(try status(folder.at("a")).st_size == 20_000)
            #expect(try readFile(folder.at("a")) == randomBytes(20_000, seed: 11))
            #expect(try FuseMountTests.names(folder.path) == ["a"])
        },
        Behaviour("fsync makes bytes and record durable without publishing") { folder in
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try pwriteAll(file, randomBytes(20_000, seed: 12), at: 0)
            let syncs = folder.mount.volume.state.withLock { $0.syncs }
            try check(fsync(file))
            #expect(folder.mount.volume.state.withLock { $0.syncs } > syncs)
            let node = try NodeID(rawValue: UInt64(status(file).st_ino))
            let record = folder.mount.volume.staged.first { $0.node == node }
            #expect(record?.size == 20_000 && record?.dirty == [0..<20_000])
        },
        Behaviour("a file that is kept open is recorded, then published when it is quiet") {
            folder in
            let path = "\(folder.path.split(separator: "/").last ?? "")/a"
            let bytes = randomBytes(20_000, seed: 13)
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try pwriteAll(file, bytes, at: 0)
            try folder.mount.eventually("it is published", seconds: 4) {
                try folder.mount.volume.bytes(path) == bytes
            }
            try pwriteAll(file, [1], at: 5)
            let node = try #require(folder.mount.volume.node(path))
            try folder.mount.eventually("it is published again", seconds: 4) {
                try folder.mount.volume.bytes(path)?[5] == 1
            }
            #expect(folder.mount.volume.staged.allSatisfy { $0.node != node })
        },
        Behaviour("locks are kept between processes' descriptors") { folder in
            try writeFile(folder.at("a"), [])
            let first = try check(open(folder.at("a"), O_RDWR))
            let second = try check(open(folder.at("a"), O_RDWR))
            defer {
                close(first)
                close(second)
            }
            try check(flock(first, LOCK_EX))
            #expect(flock(second, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK)
            try check(flock(first, LOCK_UN))
            try check(flock(second, LOCK_EX | LOCK_NB))
        },
        Behaviour("what there is no way to do says so") { folder in
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            try pwriteAll(file, randomBytes(8192, seed: 1), at: 0)
            // Collapse and insert; the kernel has no request for either.
            for mode: Int32 in [0x08, 0x20] {
                #expect(fallocate(file, mode, 0, 4096) == -1 && errno == EOPNOTSUPP)
            }
            let temporary: Int32 = 0o20_000_000 | O_DIRECTORY
            #expect(open(folder.path, temporary | O_RDWR, 0o600) == -1 && errno == EOPNOTSUPP)
        },
        Behaviour("O_DIRECT reads and writes past the kernel's pages") { folder in
            let bytes = randomBytes(16_384, seed: 1)
            let direct: Int32 = 0o40000
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR | direct, 0o644))
            defer { close(file) }
            try pwriteAll(file, bytes, at: 0)
            #expect(try readFile(folder.at("a")) == bytes)
            try writeFile(folder.at("a"), [1, 2, 3], 0)
            #expect(try readAll(file) == [1, 2, 3] + bytes[3...])
        },
        Behaviour("maps share what they change, or keep it to themselves") { folder in
            try writeFile(folder.at("a"), [UInt8](repeating: 1, count: 10_000))
            let file = try check(open(folder.at("a"), O_RDWR))
            defer { close(file) }
            let modes = PROT_READ | PROT_WRITE
            guard let shared = mmap(nil, 8192, modes, MAP_SHARED, file, 0),
                let own = mmap(nil, 8192, modes, MAP_PRIVATE, file, 0), shared != MAP_FAILED,
                own != MAP_FAILED
            else { throw Failure(code: errno) }
            own.storeBytes(of: 9, toByteOffset: 0, as: UInt8.self)
            shared.storeBytes(of: 2, toByteOffset: 5000, as: UInt8.self)
            try pwriteAll(file, [3], at: 5001)
            #expect(shared.load(fromByteOffset: 5001, as: UInt8.self) == 3)
            #expect(own.load(fromByteOffset: 5001, as: UInt8.self) == 3)
            try check(msync(shared, 8192, MS_SYNC))
            munmap(shared, 8192)
            munmap(own, 8192)
            let bytes = try readFile(folder.at("a"))
            #expect(bytes[0] == 1 && bytes[5000] == 2 && bytes[5001] == 3)
        },
        Behaviour("a write past what a file can hold is EFBIG") { folder in
            let file = try check(open(folder.at("a"), O_CREAT | O_RDWR, 0o644))
            defer { close(file) }
            // Where the kernel writes back, only then does anybody hear of it.
            let isWritten = pwrite(file, [1], 1, off_t(1) << 54) == 1 && fsync(file) == 0
            #expect(!isWritten && errno == EFBIG)
            #expect(ftruncate(file, off_t(1) << 54) == -1 && errno == EFBIG)
        },
    ]
}
