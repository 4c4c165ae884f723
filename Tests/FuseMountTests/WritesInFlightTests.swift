import Base
import Chunks
import Share
import Synchronization
import Testing

@testable import FuseMount

/// Large writes of one file, which go to the disk side by side.
struct WritesInFlightTests {
    private let chunks = FakeChunks()
    private let staging = FakeStaging()
    private let depot: StagingDepot
    private let file = FileState(id: InodeID(rawValue: 7), node: NodeID(rawValue: 7))
    private static let large = 256 << 10

    init() {
        depot = StagingDepot(area: staging, bytesMax: 8 << 30)
        file.load(
            OpenedContent(versions: [1], content: .empty, modified: .epoch), chunks: chunks)
    }

    private func write(_ value: UInt8, count: Int = large, at offset: Int) throws {
        let bytes = [UInt8](repeating: value, count: count)
        _ = try bytes.withUnsafeBytes {
            try file.write($0, at: UInt64(offset), in: depot)
        }
    }

    private func read(_ range: Range<Int>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: range.count)
        let outcome = try bytes.withUnsafeMutableBytes {
            try file.read(at: UInt64(range.lowerBound), into: $0)
        }
        guard case .bytes(let count) = outcome else { throw StorageError.full }
        return Array(bytes.prefix(count))
    }

    /// Runs all at once, and waits for them.
    private func together(_ bodies: [@Sendable () -> Void]) throws {
        let ends = bodies.map { _ in Latch() }
        for (body, end) in zip(bodies, ends) {
            try startThread(name: "together") {
                body()
                end.open()
            }
        }
        for end in ends { end.wait() }
    }

    @Test
    func `two are under way at once, and who wants their bytes waits for them`() throws {
        let large = Self.large
        try write(1, count: 2 * large, at: 0)
        // Each write waits for the other to be there, too.
        let arrived = Mutex(0)
        let both = Latch()
        let asked = Latch()
        staging.beforeWrite.withLock {
            $0 = { (_) throws(StorageError) in
                let count = arrived.withLock { count in
                    count += 1
                    return count
                }
                if count == 2 { both.open() }
                guard both.wait(until: Clock.now() + .seconds(20)) else { throw .full }
                // A reader has time to be too early.
                _ = asked.wait(until: Clock.now() + .milliseconds(200))
            }
        }
        let failures = Mutex<[String]>([])
        @Sendable func noting(_ body: () throws -> Void) {
            do { try body() } catch { failures.withLock { $0.append("\(error)") } }
        }
        let seen = Mutex<[UInt8]>([])
        try together([
            { noting { try write(2, at: 0) } },
            { noting { try write(3, at: large) } },
            {
                noting {
                    _ = both.wait(until: Clock.now() + .seconds(20))
                    let bytes = try read(large - 1..<large + 1)
                    seen.withLock { $0 = bytes }
                }
            },
        ])
        #expect(failures.withLock { $0 }.isEmpty)
        #expect(seen.withLock { $0 } == [2, 3])
        #expect(arrived.withLock { $0 } == 2)
    }

    @Test(arguments: [false, true])
    func `one that fails leaves what there was, and no record names it`(grows: Bool) throws {
        let large = Self.large
        try write(1, at: 0)
        try write(1, at: 2 * large)
        try file.access { try $0.overlay.zero(100..<200, in: depot) }
        let before = try read(0..<3 * large)
        #expect(before.count == 3 * large)
        let dirty = file.access { $0.overlay.dirty.ranges }
        let asked = Mutex<[String]>([])
        staging.beforeWrite.withLock {
            $0 = { [file, depot] (_) throws(StorageError) in
                // Others are told that these bytes are not there.
                let started = Latch()
                onThread {
                    started.open()
                    do throws(StorageError) {
                        _ = try file.record(in: depot, again: true, isSynced: true)
                        asked.withLock { $0.append("a record was made") }
                    } catch {
                        asked.withLock { $0.append("refused") }
                    }
                }
                started.wait()
                // Time to come to the bytes.
                sleepMilliseconds(300)
                throw .io(code: 5, action: "writing")
            }
        }
        #expect(throws: StorageError.self) { try write(9, at: grows ? 3 * large : large) }
        staging.beforeWrite.withLock { $0 = nil }
        #expect(file.size == UInt64(3 * large))
        #expect(try read(0..<4 * large) == before)
        #expect(file.access { $0.overlay.dirty.ranges } == dirty)
        let record = try #require(try file.record(in: depot, again: true, isSynced: true))
        #expect(record.staged.dirty == dirty)
        while asked.withLock({ $0.isEmpty }) { sleepMilliseconds(5) }
        #expect(asked.withLock { $0 } == ["refused"])
        // Zeros stay zeros though other bytes were to lie over them.
        staging.beforeWrite.withLock {
            $0 = { (_) throws(StorageError) in throw .io(code: 5, action: "writing") }
        }
        #expect(throws: StorageError.self) { try write(9, at: 0) }
        staging.beforeWrite.withLock { $0 = nil }
        #expect(file.access { $0.overlay.zeroed.ranges } == [100..<200])
    }

    @Test
    func `a job that wants bytes that failed gives up`() throws {
        try write(1, at: 0)
        try write(1, at: 2 * Self.large)
        let begun = Mutex(false)
        // It holds the file, which holds the staging area.
        defer { staging.beforeWrite.withLock { $0 = nil } }
        staging.beforeWrite.withLock {
            $0 = { [file] (_) throws(StorageError) in
                begun.withLock { $0 = file.beginStoring(number: 1) != nil }
                throw .io(code: 5, action: "writing")
            }
        }
        #expect(throws: StorageError.self) { try write(9, at: Self.large) }
        #expect(begun.withLock { $0 })
        #expect(file.isOvertaken)
    }

    /// What a job works on must not change, whatever is on its way.
    @Test
    func `many writers, a reader and jobs at once`() throws {
        let seed = UInt64.random(in: 1...UInt64(UInt32.max))
        print("writers and jobs: seed \(seed)")
        let part = 2 << 20
        let writers = 4
        let finals = Mutex([[UInt8]](repeating: [], count: writers))
        let failures = Mutex<[String]>([])
        let running = Atomic(writers)
        @Sendable func noting(_ body: () throws -> Void) {
            do { try body() } catch { failures.withLock { $0.append("\(error)") } }
        }
        try write(0, count: part * writers, at: 0)
        var bodies: [@Sendable () -> Void] = (0..<writers).map { writer in
            {
                noting {
                    var random = SeededRandom(seed: seed &+ UInt64(writer))
                    var model = [UInt8](repeating: 0, count: part)
                    for _ in 0..<60 {
                        let count = Int.random(in: 1...(600 << 10), using: &random)
                        let offset = Int.random(in: 0..<part - count, using: &random)
                        let value = UInt8.random(in: 1...255, using: &random)
                        try write(value, count: count, at: writer * part + offset)
                        for index in offset..<offset + count { model[index] = value }
                        let start = writer * part + offset
                        guard try read(start..<start + count).allSatisfy({ $0 == value }) else {
                            throw StorageError.corrupt(what: "not what was written")
                        }
                    }
                    finals.withLock { $0[writer] = model }
                }
                running.subtract(1, ordering: .releasing)
            }
        }
        let compared = Mutex(0)
        bodies.append {
            noting {
                func cutBytes() throws -> [UInt8] {
                    var bytes = [UInt8](repeating: 0, count: part * writers)
                    var gaps: [Range<UInt64>] = []
                    try bytes.withUnsafeMutableBytes {
                        try file.readCut(0..<UInt64($0.count), into: $0, gaps: &gaps)
                    }
                    return bytes
                }
                var number: UInt64 = 0
                while running.load(ordering: .acquiring) > 0 {
                    number += 1
                    guard file.beginStoring(number: number) != nil else { continue }
                    _ = file.startWork(number: number, chunks: chunks)
                    // A cut that too much was written over tells so.
                    if let first = try? cutBytes(), let second = try? cutBytes() {
                        guard first == second else {
                            throw StorageError.corrupt(what: "a cut changed")
                        }
                        compared.withLock { $0 += 1 }
                    }
                    _ = file.endFailed(retryAt: .zero)
                }
            }
        }
        try together(bodies)
        #expect(failures.withLock { $0 }.isEmpty, "seed \(seed)")
        #expect(compared.withLock { $0 } > 0)
        #expect(try read(0..<part * writers) == finals.withLock { $0.flatMap { $0 } })
    }
}
