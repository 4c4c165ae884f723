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
        #expect(fetcher.next(for: alice) == [reference(1)])
        #expect(fetcher.next(for: bob).isEmpty)
        #expect(fetcher.settle(reference(1).address)?.reference == reference(1))
        #expect(fetcher.settle(reference(1).address) == nil)
        #expect(fetcher.owed.bytes == 0)
    }

    @Test func `what only an old version lacks is asked for and not owed`() {
        var fetcher = ChunkFetcher()
        fetcher.want(reference(1), isList: false, isOwed: false)
        fetcher.want(reference(2), isList: false)
        #expect(fetcher.count == 2 && fetcher.owed == (1, 1000))
        #expect(fetcher.next(for: alice) == [reference(1), reference(2)])
        // Something that shows needs it, too.
        fetcher.want(reference(1), isList: false)
        fetcher.want(reference(1), isList: false, isOwed: false)
        #expect(fetcher.owed == (2, 2000))
        fetcher.keepOnly([WantedChunk(reference: reference(1), isList: false, isOwed: false)])
        #expect(fetcher.count == 1 && fetcher.owed == (0, 0))
        #expect(!fetcher.isOwed(reference(1).address))
        #expect(fetcher.settle(reference(1).address) != nil)
        #expect(fetcher.count == 0 && fetcher.owed == (0, 0))
    }

    @Test func `what one lacks is asked of the next, and again later`() {
        var fetcher = ChunkFetcher()
        fetcher.want(reference(1), isList: false)
        _ = fetcher.next(for: alice)
        fetcher.lacked(reference(1).address, by: alice)
        #expect(fetcher.next(for: alice).isEmpty)
        #expect(fetcher.next(for: bob) == [reference(1)])
        fetcher.lacked(reference(1).address, by: bob)
        #expect(fetcher.next(for: alice).isEmpty)
        fetcher.retryAll()
        #expect(fetcher.next(for: alice) == [reference(1)])
    }

    @Test func `a closed connection gives back what it was asked`() {
        var fetcher = ChunkFetcher()
        for byte in 1...3 as ClosedRange<UInt8> { fetcher.want(reference(byte), isList: false) }
        #expect(fetcher.next(for: alice).count == 3)
        fetcher.connectionClosed(alice)
        #expect(Set(fetcher.next(for: bob)) == Set([reference(1), reference(2), reference(3)]))
    }

    @Test func `what a reader waits for goes first`() {
        var fetcher = ChunkFetcher()
        for byte in 1...200 as ClosedRange<UInt8> { fetcher.want(reference(byte), isList: false) }
        fetcher.hurry(reference(150), isList: false)
        fetcher.hurry(reference(220), isList: false)
        let first = fetcher.next(for: alice)
        #expect(Set(first.prefix(2)) == Set([reference(150), reference(220)]))
        #expect(first.count == ChunkFetcher.Limits.inFlightCount)
        #expect(Set(first).count == first.count)
    }

    @Test func `a connection's window is bounded in bytes`() {
        var fetcher = ChunkFetcher()
        for byte in 1...60 as ClosedRange<UInt8> {
            fetcher.want(reference(byte, length: 1 << 20), isList: false)
        }
        #expect(fetcher.next(for: alice).count == ChunkFetcher.Limits.inFlightBytes >> 20)
    }
}
