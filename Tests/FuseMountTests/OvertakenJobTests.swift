import Base
import Chunks
import Share
import Testing

@testable import FuseMount

/// A job that makes chunks of what is written over meanwhile.
struct OvertakenJobTests {
    @Test func `the next one waits until a program may have finished writing`() throws {
        let chunks = FakeChunks()
        let depot = StagingDepot(area: FakeStaging(), bytesMax: 8 << 30)
        let file = FileState(id: InodeID(rawValue: 7), node: NodeID(rawValue: 7))
        file.load(
            OpenedContent(versions: [1], content: .empty, modified: .epoch), chunks: chunks)
        let bytes = [UInt8](repeating: 1, count: 1 << 20)
        func write() throws -> FileState.Change {
            try bytes.withUnsafeBytes { try file.write($0, at: 0, in: depot) }
        }
        #expect(try !write().isLarge)
        // As if there were more.
        file.access { $0.overlay.staged?.count(MountLimits.flattenBytes) }
        #expect(try write().isLarge)
        #expect(file.beginStoring(number: 1) == 1)
        let work = try #require(file.startWork(number: 1, chunks: chunks))
        #expect(work.size == 1 << 20)
        file.access { $0.overlay.cut?.isAbandoned = true }
        #expect(file.isOvertaken)
        _ = file.endFailed(retryAt: .zero)

        #expect(try !write().isLarge)
        let later = Clock.now() + MountLimits.retryAfter
        #expect(file.access { $0.isLarge(at: later) })
        // Who closes the file has a version made of it all the same.
        guard case .job = file.begin(number: 2) else {
            Issue.record("no job")
            return
        }
    }
}
