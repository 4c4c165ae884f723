import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// Programs that write to a file at the moment at which another device's version of it comes.
@Suite(.enabled(if: canMount), .serialized)
struct ReplayedContentTests {
    /// A peer that changes one file all the time, and what it was ever changed to.
    private final class Peer: Sendable {
        private struct State {
            var contents: Set<[UInt8]> = []
            var isRunning = true
        }
        private let state = Mutex(State())
        private let ended = Latch()

        init(of name: String, in volume: FakeVolume, seed: UInt64) throws {
            try startThread(name: "peer") { [self] in
                var random = SeededRandom(seed: seed)
                var round = 0
                while state.withLock({ $0.isRunning }) {
                    let dots = String(repeating: ".", count: Int(random.next() % 90))
                    let text = "[remote \(round)]\(dots)"
                    round += 1
                    state.withLock { _ = $0.contents.insert(Array(text.utf8)) }
                    volume.writeRemotely(name, .inline(Array(text.utf8)))
                    usleep(UInt32(random.next() % 3000))
                }
                ended.open()
            }
        }

        var contents: Set<[UInt8]> { state.withLock { $0.contents } }

        func end() {
            state.withLock { $0.isRunning = false }
            ended.wait(until: Clock.now() + .seconds(5))
        }
    }

    @Test func `a version that came while one of a file's names was taken away is shown then`() {
        let chunks = FakeChunks()
        let file = FileState(id: InodeID(rawValue: 7), node: NodeID(rawValue: 7))
        file.load(
            OpenedContent(versions: [1], content: .empty, modified: .epoch), chunks: chunks)
        _ = file.hold()
        #expect(file.keepsBytes())
        #expect(file.release().isOutdated)
        #expect(!file.keepsBytes())
    }

    @Test
    func `who appends while a version comes, and a shorter one at once, appends to what was there`()
        throws
    {
        let mount = try TestMount()
        defer { mount.end() }
        let (old, text) = ([UInt8](repeating: 65, count: 40), Array("<local>".utf8))
        try writeFile(mount.at("a"), old)
        mount.settle()
        let kept = try check(open(mount.at("a"), O_WRONLY | O_APPEND))
        defer { close(kept) }
        let volume = mount.volume
        let hasWritten = Latch()
        volume.state.withLock { state in
            state.beforeContent = {
                volume.writeRemotely("a", .inline([66]), isTold: false)
                try? startThread(name: "writer") {
                    try? writeAll(kept, text)
                    hasWritten.open()
                }
                // The kernel lets nobody write now: the writer is the next.
                usleep(50_000)
            }
        }
        volume.writeRemotely("a", .inline([UInt8](repeating: 67, count: 60)))
        #expect(hasWritten.wait(until: Clock.now() + .seconds(5)))
        close(try check(open(mount.at("a"), O_WRONLY)))
        mount.settle()
        let saved = volume.saves.compactMap { save in
            if case .inline(let bytes) = save.content { bytes } else { nil }
        }
        #expect(saved.contains(old + text) || saved.contains([66] + text), "\(saved)")
    }

    enum Way: CaseIterable { case anew, appended, appendedToOpen }

    @Test(arguments: Way.allCases)
    func `what a program writes then becomes a version, over one that it saw`(way: Way) throws {
        let mount = try TestMount()
        defer { mount.end() }
        let seed = UInt64(clamping: getpid())
        print("seed \(seed)")
        try writeFile(mount.at("a"), [65])
        mount.settle()
        let peer = try Peer(of: "a", in: mount.volume, seed: seed)
        defer { peer.end() }
        var random = SeededRandom(seed: seed &+ 1)
        let kept = try check(open(mount.at("a"), O_WRONLY | O_APPEND))
        defer { close(kept) }
        for round in 0..<150 {
            let text = Array("<local \(round)>".utf8)
            let count = mount.volume.saves.count
            switch way {
            case .anew: try writeFile(mount.at("a"), text, O_TRUNC)
            case .appended: try writeFile(mount.at("a"), text, O_APPEND)
            case .appendedToOpen:
                try writeAll(kept, text)
                // What is closed is published.
                close(try check(open(mount.at("a"), O_WRONLY)))
            }
            var saved: [UInt8]?
            mount.eventually("round \(round) is saved") {
                mount.volume.saves[count...].contains { save in
                    guard case .inline(let bytes) = save.content, bytes.ends(with: text) else {
                        return false
                    }
                    saved = bytes
                    return true
                }
            }
            guard let saved else { return }
            let before = Array(saved.dropLast(text.count))
            let known = peer.contents.union(
                mount.volume.saves.compactMap { save in
                    if case .inline(let bytes) = save.content { bytes } else { nil }
                })
            let isWhole = before.isEmpty ? way == .anew : known.contains(before) || before == [65]
            // The texts differ in their first bytes, so this says what a mixture is of.
            let like = known.filter { $0.prefix(10) == before.prefix(10) }.map(\.count)
            #expect(
                isWhole,
                """
                round \(round) lies over \(before.count) bytes \
                \(String(decoding: before, as: UTF8.self)); whole it has \(like)
                """)
            if !isWhole { return }
            usleep(UInt32(random.next() % 3000))
        }
        peer.end()
        mount.settle()
        mount.eventually("what came last shows") {
            (try? readFile(mount.at("a"))) == (try? mount.volume.bytes("a"))
        }
    }
}

extension [UInt8] {
    fileprivate func ends(with other: [UInt8]) -> Bool { suffix(other.count) == other[...] }
}
