import Base
import Chunks
import Testing

@testable import Share

@Suite struct ChunkFetcherTests {
    private let alice = ConnectionID(rawValue: 1)
    private let bob = ConnectionID(rawValue: 2)

    private func reference(_ byte: UInt8, length: UInt32 = 1000) -> ChunkReference {
        ChunkReference(
            address: Bytes32(repeating: byte), key: Bytes32(repeating: byte), length: length)
    }

    @Test func `a chunk is asked of one connection at a time`() {
        var fetcher = ChunkFetcher()
        fetcher.want(reference(1), isList: false)
        fetcher.want(reference(1), isList: false)
        #expect(fetcher.count == 1)
        #expect(fetcher.owed.bytes == 1000)
        #expect(fetcher.next(for: alice, now: .zero) == [reference(1)])
        #expect(fetcher.next(for: bob, now: .zero).isEmpty)
        #expect(
            fetcher.settle(reference(1).address, from: alice, now: .zero)?.reference == reference(1)
        )
        #expect(fetcher.settle(reference(1).address, from: alice, now: .zero) == nil)
        #expect(fetcher.owed.bytes == 0)
    }

    @Test func `what only an old version lacks is asked for and not owed`() {
        var fetcher = ChunkFetcher()
        fetcher.want(reference(1), isList: false, isOwed: false)
        fetcher.want(reference(2), isList: false)
        #expect(fetcher.count == 2 && fetcher.owed == (1, 1000))
        #expect(fetcher.next(for: alice, now: .zero) == [reference(1), reference(2)])
        // Something that shows needs it, too.
        fetcher.want(reference(1), isList: false)
        fetcher.want(reference(1), isList: false, isOwed: false)
        #expect(fetcher.owed == (2, 2000))
        fetcher.keepOnly(
            [WantedChunk(reference: reference(1), isList: false, isOwed: false)], now: .zero)
        #expect(fetcher.count == 1 && fetcher.owed == (0, 0))
        #expect(!fetcher.isOwed(reference(1).address))
        #expect(fetcher.settle(reference(1).address, from: alice, now: .zero) != nil)
        #expect(fetcher.count == 0 && fetcher.owed == (0, 0))
    }

    @Test func `what one lacks is asked of the next, and again later`() {
        var fetcher = ChunkFetcher()
        fetcher.want(reference(1), isList: false)
        _ = fetcher.next(for: alice, now: .zero)
        fetcher.lacked(reference(1).address, by: alice, now: .zero)
        #expect(fetcher.next(for: alice, now: .zero).isEmpty)
        #expect(fetcher.next(for: bob, now: .zero) == [reference(1)])
        fetcher.lacked(reference(1).address, by: bob, now: .zero)
        #expect(fetcher.next(for: alice, now: .zero).isEmpty)
        fetcher.retryAll()
        #expect(fetcher.next(for: alice, now: .zero) == [reference(1)])
    }

    @Test func `a closed connection gives back what it was asked`() {
        var fetcher = ChunkFetcher()
        for byte in 1...3 as ClosedRange<UInt8> { fetcher.want(reference(byte), isList: false) }
        #expect(fetcher.next(for: alice, now: .zero).count == 3)
        fetcher.connectionClosed(alice)
        #expect(
            Set(fetcher.next(for: bob, now: .zero))
                == Set([reference(1), reference(2), reference(3)]))
    }

    @Test func `what a reader waits for goes first`() {
        var fetcher = ChunkFetcher()
        for byte in 1...200 as ClosedRange<UInt8> { fetcher.want(reference(byte), isList: false) }
        fetcher.hurry(reference(150), isList: false)
        fetcher.hurry(reference(220), isList: false)
        let first = fetcher.next(for: alice, now: .zero)
        #expect(Set(first.prefix(2)) == Set([reference(150), reference(220)]))
        #expect(first.count == ChunkFetcher.Limits.inFlightCount)
        #expect(Set(first).count == first.count)
    }

    @Test func `a connection's window is bounded in bytes`() {
        var fetcher = ChunkFetcher()
        for byte in 1...60 as ClosedRange<UInt8> {
            fetcher.want(reference(byte, length: 1 << 20), isList: false)
        }
        #expect(fetcher.next(for: alice, now: .zero).count == 1)
        // It turns out to be fast.
        var time = Instant.zero
        for byte in 1...8 as ClosedRange<UInt8> {
            time = time + .milliseconds(10)
            #expect(fetcher.settle(reference(byte).address, from: alice, now: time) != nil)
            let count = fetcher.next(for: alice, now: time).count
            #expect(count == (byte == 1 ? 8 : 1), "\(byte)")
        }
    }

    // MARK: Slow and fast

    /// Each has brought some chunks: alice 20 kB/s, bob 10 MB/s.
    private func slowAndFast(_ time: inout Instant) -> ChunkFetcher {
        var fetcher = ChunkFetcher()
        for (byte, connection, length, duration) in [
            (250, alice, 20_000, Duration.seconds(1)), (251, bob, 100_000, .milliseconds(10)),
        ] as [(UInt8, ConnectionID, UInt32, Duration)] {
            fetcher.want(reference(byte, length: length), isList: false)
            #expect(fetcher.next(for: connection, now: time).count == 1)
            time = time + duration
            #expect(
                fetcher.settle(reference(byte).address, from: connection, now: time) != nil)
        }
        return fetcher
    }

    @Test func `of a slow connection little is asked at once`() {
        var time = Instant.zero
        var fetcher = slowAndFast(&time)
        for byte in 1...100 as ClosedRange<UInt8> {
            fetcher.want(reference(byte, length: 100_000), isList: false)
        }
        #expect(fetcher.next(for: alice, now: time).count == 2)
        #expect(fetcher.next(for: bob, now: time).count == 64)
    }

    @Test
    func
        `what a slow connection would bring last is asked of a fast one that has nothing else to do`()
    {
        var time = Instant.zero
        var fetcher = slowAndFast(&time)
        for byte in 1...3 as ClosedRange<UInt8> {
            fetcher.want(reference(byte, length: 100_000), isList: false)
        }
        #expect(
            fetcher.next(for: alice, now: time) == [1, 2].map { reference($0, length: 100_000) })
        time = time + .seconds(1)
        let asked = fetcher.next(for: bob, now: time)
        #expect(asked == [3, 2, 1].map { reference($0, length: 100_000) })
        #expect(fetcher.next(for: bob, now: time + .seconds(1)).isEmpty)
        // What has come from one is to be cancelled with the other.
        #expect(fetcher.settle(reference(2).address, from: bob, now: time) != nil)
        #expect(fetcher.settle(reference(1).address, from: alice, now: time) != nil)
        #expect(fetcher.takeSurplus().map(\.0) == [alice, bob])
        #expect(fetcher.takeSurplus().isEmpty)
        #expect(fetcher.settle(reference(3).address, from: bob, now: time) != nil)
        #expect(fetcher.takeSurplus().isEmpty)
        #expect(fetcher.count == 0 && !fetcher.mayShare)
    }

    @Test func `what was asked of two and one of them does not bring is left to the other`() {
        for isClosed in [false, true] {
            for one in [alice, bob] {
                var time = Instant.zero
                var fetcher = slowAndFast(&time)
                fetcher.want(reference(1, length: 100_000), isList: false)
                #expect(fetcher.next(for: alice, now: time).count == 1)
                time = time + .seconds(1)
                #expect(fetcher.next(for: bob, now: time).count == 1)
                if isClosed {
                    fetcher.connectionClosed(one)
                } else {
                    fetcher.lacked(reference(1).address, by: one, now: time)
                }
                let other = one == alice ? bob : alice
                #expect(fetcher.next(for: other, now: time).isEmpty)
                if !isClosed {
                    fetcher.lacked(reference(1).address, by: other, now: time)
                } else {
                    fetcher.connectionClosed(other)
                }
                #expect(!fetcher.mayShare)
                fetcher.retryAll()
                #expect(fetcher.next(for: one, now: time).count == 1)
                #expect(fetcher.settle(reference(1).address, from: one, now: time) != nil)
                #expect(fetcher.takeSurplus().isEmpty && fetcher.count == 0)
            }
        }
    }

    @Test func `what a reader waits for is asked of the fastest, and of another if that is silent`()
    {
        var time = Instant.zero
        var fetcher = slowAndFast(&time)
        fetcher.hurry(reference(1, length: 100_000), isList: false)
        #expect(fetcher.next(for: alice, now: time).isEmpty)
        #expect(fetcher.next(for: bob, now: time).count == 1)
        time = time + .seconds(1)
        #expect(fetcher.next(for: alice, now: time).isEmpty)
        time = time + .seconds(20)
        #expect(fetcher.next(for: alice, now: time).count == 1)
        time = time + .seconds(1)
        #expect(fetcher.next(for: bob, now: time).isEmpty)
        #expect(fetcher.next(for: alice, now: time).isEmpty)
    }

    @Test func `what a reader waits for and one lacks is asked of the next before all else`() {
        var fetcher = ChunkFetcher()
        for byte in 1...200 as ClosedRange<UInt8> { fetcher.want(reference(byte), isList: false) }
        _ = fetcher.next(for: bob, now: .zero)
        fetcher.hurry(reference(150), isList: false)
        #expect(fetcher.next(for: alice, now: .zero).first == reference(150))
        fetcher.lacked(reference(150).address, by: alice, now: .zero)
        #expect(fetcher.next(for: bob, now: .zero) == [reference(150)])
        fetcher.lacked(reference(150).address, by: bob, now: .zero)
        #expect(!fetcher.next(for: bob, now: .zero).contains(reference(150)))
        fetcher.has(reference(150).address, bob)
        #expect(fetcher.next(for: bob, now: .zero).first == reference(150))
    }
}
