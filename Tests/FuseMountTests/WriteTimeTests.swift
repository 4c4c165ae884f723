import Base
import Chunks
import Glibc
import Share
import Testing

@testable import FuseMount

/// The times of files, where the kernel keeps and tells them, between programs, jobs and renames.
struct WriteTimeTests {
    private let chunks = FakeChunks()
    private let depot = StagingDepot(area: FakeStaging(), bytesMax: 8 << 20)
    private let node = NodeID(rawValue: 7)
    private let early = Timestamp(seconds: 1_000, nanoseconds: 1)
    private let late = Timestamp(seconds: 2_000, nanoseconds: 2)

    /// A file with a byte that no version has, whose time the kernel has not told.
    private func writtenFile() throws -> FileState {
        let file = FileState(id: InodeID(rawValue: 7), node: node, hasKernelTimes: true)
        file.load(
            OpenedContent(versions: [1], content: .empty, modified: .epoch), chunks: chunks)
        let byte: [UInt8] = [1]
        _ = try byte.withUnsafeBytes { try file.write($0, at: 0, in: depot) }
        return file
    }

    private func begin(_ file: FileState) throws -> (FileState.Ticket, Content) {
        guard case .now(let ticket, let content) = file.begin(number: 1) else {
            throw Failure(code: 22)
        }
        return (ticket, content)
    }

    private func end(
        _ file: FileState, _ ticket: FileState.Ticket, _ particulars: FileState.Particulars,
        _ content: Content
    ) -> FileState.Ending? {
        file.endPublished(
            ticket, particulars, content: content, as: Published(node: node, version: 2),
            chunks: chunks)
    }

    @Test func `a time that was set after the kernel was asked for one stays`() throws {
        let file = try writtenFile()
        #expect(file.isTimeUntold)
        // The kernel is asked, and says `early`; before that comes, a program sets `late`.
        #expect(file.setModified(late, wallTime: late) == .nextVersion)
        #expect(!file.takesUntold(early, wallTime: late))
        #expect(file.access { $0.modified } == late)
    }

    @Test func `the same with a file whose version is made by then`() throws {
        let file = try writtenFile()
        let (ticket, content) = try begin(file)
        #expect(end(file, ticket, file.particulars(ticket), content) != nil)
        #expect(file.setModified(late, wallTime: late) == .lastVersion)
        #expect(!file.takesUntold(early, wallTime: late))
    }

    @Test func `a time that is still owed is taken once`() throws {
        let file = try writtenFile()
        #expect(!file.takesUntold(early, wallTime: late), "the next version has it")
        #expect(file.access { $0.modified } == early)
        let published = try writtenFile()
        let (ticket, content) = try begin(published)
        #expect(end(published, ticket, published.particulars(ticket), content) != nil)
        #expect(published.takesUntold(early, wallTime: late), "the volume must be told")
        #expect(!published.takesUntold(early, wallTime: late))
    }

    @Test
    func `a time that is told is owed to the version that lacks it`() throws {
        let published = try writtenFile()
        let (ticket, content) = try begin(published)
        #expect(end(published, ticket, published.particulars(ticket), content) != nil)
        #expect(published.shows([2]) && !published.shows([1]))
        #expect(published.setModified(early, wallTime: late) == .lastVersion)
        #expect(published.setModified(early, wallTime: late) == .nothing)
    }

    @Test func `bytes that come after their time have it, if it was not known`() throws {
        for isKnown in [true, false] {
            let file = FileState(id: InodeID(rawValue: 7), node: node, hasKernelTimes: true)
            file.load(
                OpenedContent(versions: [1], content: .empty, modified: .epoch), chunks: chunks)
            #expect(file.setModified(early, wallTime: late, isKnown: isKnown) == .nothing)
            #expect(file.access { $0.modified } == (isKnown ? .epoch : early))
        }
    }

    @Test func `a publication does not end before the volume knows a time set meanwhile`() throws {
        let file = try writtenFile()
        let (ticket, content) = try begin(file)
        var particulars = file.particulars(ticket)
        #expect(file.setModified(late, wallTime: late) == .nextVersion)
        // Whoever renames the file waits until it ends.
        #expect(end(file, ticket, particulars, content) == nil)
        #expect(file.outdates(&particulars, of: ticket))
        #expect(particulars.modified == late)
        #expect(!file.outdates(&particulars, of: ticket))
        #expect(end(file, ticket, particulars, content) != nil)
        #expect(!file.isDirty)
    }

    @Test func `later bytes bring their own time`() throws {
        let file = try writtenFile()
        let (ticket, content) = try begin(file)
        var particulars = file.particulars(ticket)
        let byte: [UInt8] = [2]
        _ = try byte.withUnsafeBytes { try file.write($0, at: 0, in: depot) }
        #expect(file.setModified(late, wallTime: late) == .nextVersion)
        #expect(!file.outdates(&particulars, of: ticket))
        #expect(end(file, ticket, particulars, content) != nil)
        #expect(file.isDirty)
        #expect(file.access { $0.modified } == late)
    }

    /// With a rename the kernel tells the time of bytes that it sends later, and once more with the next.
    @Test(.enabled(if: canMount)) func `what the kernel sends after its time has that`() throws {
        let mount = try TestMount { $0.writeBack = true }
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        mount.settle()
        sleepMilliseconds(50)
        let file = open(mount.at("a"), O_WRONLY | O_APPEND)
        try #require(file >= 0)
        defer { close(file) }
        #expect(write(file, "2", 1) == 1)
        var kept = stat()
        try check(fstat(file, &kept))
        try check(rename(mount.at("a"), mount.at("b")))
        try check(close(dup(file)))
        mount.settle()
        #expect(try #require(mount.volume.saves.last).modified == time(kept.st_mtim))
        try check(rename(mount.at("b"), mount.at("c")))
        mount.settle()
        let node = try mount.volume.lookup(Array("c".utf8), in: .root).node
        #expect(try mount.volume.attributes(of: node).modified == time(kept.st_mtim))
    }

    @Test(.enabled(if: canMount), arguments: [true, false])
    func `an empty file made where another was removed is new`(writeBack: Bool) throws {
        let mount = try TestMount { $0.writeBack = writeBack }
        defer { mount.end() }
        mount.volume.state.withLock { $0.makesAnew = true }
        try writeFile(mount.at("a"), [1])
        mount.settle()
        let old = time(try status(mount.at("a")).st_mtim)
        sleepMilliseconds(50)
        try check(unlink(mount.at("a")))
        try writeFile(mount.at("a"), [])
        #expect(old < time(try status(mount.at("a")).st_mtim))
        mount.settle()
        #expect(try #require(mount.volume.saves.last).modified > old)
        #expect(try #require(mount.volume.saves.last).content == .empty)
    }
}
