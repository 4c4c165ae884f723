import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// Programs that watch a mount, or have its files open, while the other device edits.
    struct WatchTests {
        @Test func `watchers hear what the other device does, each thing once`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                let queue = inotify_init1(Int32(IN_NONBLOCK))
                defer { close(queue) }
                let mask = IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_CLOSE_WRITE
                #expect(inotify_add_watch(queue, pair.bob.mountPoint, UInt32(mask)) >= 0)
                let alice = pair.alice.mountPoint
                let steps = [
                    ("echo one > f", ["create f", "close f"]), ("echo two >> f", ["close f"]),
                    ("mkdir d", ["create d"]), ("mv f g", ["from f", "to g"]),
                    ("echo save > .tmp && mv .tmp g", ["close g"]), ("ln -s g s", ["create s"]),
                    ("mv g d/g", ["from g"]), ("mv d e", ["from d", "to e"]),
                    ("rm -r e s", ["delete e", "delete s"]),
                ]
                for (script, expected) in steps {
                    try place.shell(script, in: alice)
                    try pair.converge()
                    // A name of a moment may have been told of, if its end came later.
                    let heard = events(queue).filter { !$0.contains(".tmp") }
                    #expect(heard.sorted() == expected.sorted(), "\(script)")
                }
            }
        }

        private func events(_ queue: Int32) -> [String] {
            var events: [String] = []
            var buffer = [UInt8](repeating: 0, count: 65536)
            for _ in 0..<20 {
                usleep(10_000)
                let count = read(queue, &buffer, buffer.count)
                var position = 0
                while position < count {
                    let (mask, length) = buffer.withUnsafeBytes { bytes in
                        (
                            bytes.loadUnaligned(fromByteOffset: position + 4, as: UInt32.self),
                            bytes.loadUnaligned(fromByteOffset: position + 12, as: UInt32.self)
                        )
                    }
                    let name = buffer[position + 16..<position + 16 + Int(length)]
                        .prefix { $0 != 0 }
                    position += 16 + Int(length)
                    let words = [
                        (IN_CREATE, "create"), (IN_MOVED_FROM, "from"), (IN_MOVED_TO, "to"),
                        (IN_DELETE, "delete"), (IN_CLOSE_WRITE, "close"),
                    ]
                    for (bit, word) in words where mask & UInt32(bit) != 0 {
                        events.append("\(word) \(String(decoding: name, as: UTF8.self))")
                    }
                }
            }
            return events
        }

        @Test func `a reader that keeps a file open sees the other device's bytes`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write("one\n", to: "log")
                try pair.converge()
                let tail = try place.start(
                    ["/usr/bin/timeout", "6", "tail", "-n", "+1", "-f", pair.bob.path("log")])
                let file = open(pair.bob.path("log"), O_RDONLY)
                defer { close(file) }
                let appended = (2...20).map { "line \($0)\n" }
                for line in appended {
                    try place.shell("printf '%s' '\(line)' >> log", in: pair.alice.mountPoint)
                    usleep(50_000)
                }
                let all = "one\n" + appended.joined()
                var bytes = [UInt8](repeating: 0, count: 10_000)
                wait(.seconds(10)) {
                    pread(file, &bytes, bytes.count, 0) == all.utf8.count
                }
                #expect(String(decoding: bytes.prefix(all.utf8.count), as: UTF8.self) == all)
                let outcome = tail.finish(within: .seconds(15))
                #expect(outcome.output == all)
            }
        }

        @Test func `a file that is open and written to keeps its bytes beside the other's`() throws
        {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write([0, 1, 2, 3], to: "data.bin")
                try pair.converge()
                let file = open(pair.bob.path("data.bin"), O_RDWR)
                let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)!
                // Not even the daemon knows of this.
                page.storeBytes(of: 9, toByteOffset: 3, as: UInt8.self)
                try pair.alice.write([0, 7, 7, 7, 7, 7], to: "data.bin")
                usleep(500_000)
                #expect(pair.bob.read("data.bin") == [0, 1, 2, 9])
                munmap(page, 4096)
                close(file)
                wait(.seconds(10)) { pair.bob.names().count == 2 }
                try pair.converge()
                let shown = Set(pair.alice.names().compactMap { pair.alice.read($0) })
                #expect(shown == [[0, 1, 2, 9], [0, 7, 7, 7, 7, 7]])
            }
        }
    }
}
