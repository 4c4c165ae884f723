import Base
import Chunks
import Share
import Testing

@testable import FuseMount

/// An overlay beside plain arrays, which do the same by copying.
private struct OverlayModel {
    let chunks = FakeChunks()
    let staging = FakeStaging()
    let depot: StagingDepot
    var overlay: Overlay
    var reader: ContentReader
    var bytes: [UInt8]
    var pending: [Overlay.Leftovers] = []
    /// What a job sees: the bytes at the cut, over the base of that time.
    var cut: (bytes: [UInt8], reader: ContentReader, isDetached: Bool)?
    /// What a chunk storage has made its own.
    var adopted: [(file: any StagingFile, offset: UInt64, bytes: [UInt8])] = []

    init(base: [UInt8], memoryMax: Int = 0) throws {
        depot = StagingDepot(
            area: staging, bytesMax: 1 << 40, memoryMax: memoryMax, adoptedBytesMin: 1)
        bytes = base
        let content = try Self.content(base, chunks)
        overlay = Overlay(base: content)
        reader = ContentReader(content, storage: chunks)
    }

    static func content(_ bytes: [UInt8], _ chunks: FakeChunks) throws -> Content {
        var builder = ContentBuilder(keys: testKeys, storage: chunks)
        return try builder.build(
            from: FunctionSource(size: UInt64(bytes.count)) { offset, buffer in
                let part = bytes[Int(offset)...].prefix(buffer.count)
                buffer.copyBytes(from: part)
                return part.count
            })
    }

    /// As whoever changes a file does.
    mutating func awaitJob(changing range: Range<Int>) throws {
        let start = min(range.lowerBound, bytes.count)
        if overlay.isHeld(UInt64(start)..<UInt64(range.upperBound)) { try endCut(success: true) }
    }

    mutating func write(_ new: [UInt8], at offset: Int) throws {
        try awaitJob(changing: offset..<offset + new.count)
        try new.withUnsafeBytes {
            try overlay.write($0, at: UInt64(offset), in: depot)?.finish($0)
        }
        if offset + new.count > bytes.count {
            bytes += Array(repeating: 0, count: offset + new.count - bytes.count)
        }
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }

    mutating func truncate(to size: Int) throws {
        try awaitJob(changing: 0..<(size == 0 ? 0 : .max))
        try overlay.truncate(to: UInt64(size), in: depot, now: .zero)
        if size == 0 {
            reader = ContentReader(.empty, storage: chunks)
            cut?.isDetached = true
        }
        if size < bytes.count {
            bytes.removeLast(bytes.count - size)
        } else {
            bytes += Array(repeating: 0, count: size - bytes.count)
        }
    }

    mutating func zero(_ range: Range<Int>) throws {
        try awaitJob(changing: range)
        try overlay.zero(UInt64(range.lowerBound)..<UInt64(range.upperBound), in: depot)
        for index in range.clamped(to: bytes.indices) { bytes[index] = 0 }
    }

    mutating func beginCut() {
        guard overlay.cut == nil, overlay.memory == nil else { return }
        _ = overlay.beginCut()
        cut = (bytes, reader, false)
    }

    mutating func endCut(success: Bool) throws {
        guard let cut else { return }
        self.cut = nil
        guard success, overlay.cut?.isAbandoned == false else {
            retire(overlay.abandonCut())
            return
        }
        let content = try Self.content(cut.bytes, chunks)
        let leftovers = overlay.endCut(as: content)
        if !cut.isDetached { reader = ContentReader(content, storage: chunks) }
        retire(leftovers)
        pending.append(leftovers)
    }

    /// A job makes some of what is in place chunks, unless that was written over.
    mutating func adopt(using random: inout SeededRandom) {
        guard let cut, let inPlace = overlay.cut?.inPlace.ranges else { return }
        let ranges = inPlace.compactMap { range -> Range<UInt64>? in
            let start = UInt64.random(in: range, using: &random)
            return Bool.random(using: &random)
                ? start..<UInt64.random(in: start + 1...range.upperBound, using: &random) : nil
        }
        guard !ranges.isEmpty, let staged = overlay.freeze(ranges), let file = staged.file else {
            return
        }
        for range in ranges {
            let bytes = Array(cut.bytes[Int(range.lowerBound)..<Int(range.upperBound)])
            adopted.append((file, range.lowerBound, bytes))
        }
    }

    func isAdoptedIntact() throws -> Bool {
        try adopted.allSatisfy { part in
            var found = [UInt8](repeating: 0, count: part.bytes.count)
            let count = try found.withUnsafeMutableBytes { buffer in
                try part.file.read(at: part.offset, into: buffer)
            }
            return count == part.bytes.count && found == part.bytes
        }
    }

    private func retire(_ leftovers: Overlay.Leftovers) {
        guard let file = leftovers.file else { return }
        depot.retire(file, isSpare: !leftovers.isRecorded, now: .zero)
    }

    /// Gives space back, some time after the job; staging files come again.
    mutating func punch() throws {
        try depot.release(now: .zero) {}
        for leftovers in pending {
            if let staged = leftovers.partly { try overlay.punch(leftovers.ranges, of: staged) }
        }
        pending = []
    }

    func shown() throws -> [UInt8] {
        try read(0..<UInt64(overlay.size)) { range, buffer, gaps in
            try overlay.read(range, into: buffer, gaps: &gaps)
        } base: {
            reader
        }
    }

    func shownCut() throws -> [UInt8] {
        guard let cut, let size = overlay.cut?.size else { return [] }
        return try read(0..<size) { range, buffer, gaps in
            try overlay.readCut(range, into: buffer, gaps: &gaps)
        } base: {
            cut.reader
        }
    }

    private func read(
        _ range: Range<UInt64>,
        _ copy: (Range<UInt64>, UnsafeMutableRawBufferPointer, inout [Range<UInt64>]) throws ->
            Void,
        base: () -> ContentReader
    ) throws -> [UInt8] {
        var result = [UInt8](repeating: 0xee, count: range.count)
        guard !result.isEmpty else { return [] }
        try result.withUnsafeMutableBytes { buffer in
            var gaps: [Range<UInt64>] = []
            try copy(range, buffer, &gaps)
            #expect(try base().fill(gaps, of: buffer, from: 0) == nil)
        }
        return result
    }
}

struct OverlayTests {
    @Test(arguments: 1...36 as ClosedRange<UInt64>)
    func `an overlay shows what was written, while a job reads what was there`(seed: UInt64) throws
    {
        var random = SeededRandom(seed: seed)
        let sizes = [0, 100, 4096, 4097, 20_000, 60_000]
        let size = sizes[Int(seed) % sizes.count]
        let scale = max(5000, size * 5 / 4)
        // None, some that is used up on the way, and all.
        let memoryMax = [0, 10_000, 1 << 20][Int(seed) / sizes.count % 3]
        var model = try OverlayModel(base: random.bytes(size), memoryMax: memoryMax)
        for step in 0..<160 {
            let offset = Int.random(in: 0..<scale, using: &random)
            let count = Int.random(in: 1..<max(2, scale / 10), using: &random)
            switch Int.random(in: 0..<13, using: &random) {
            case 0..<6: try model.write(random.bytes(count), at: offset)
            case 6: try model.truncate(to: offset)
            case 7:
                if step % 5 == 0 { try model.truncate(to: Bool.random(using: &random) ? 0 : 60) }
            case 8: try model.zero(offset..<offset + count)
            case 9: model.beginCut()
            case 10:
                if Bool.random(using: &random) { model.adopt(using: &random) }
                try model.endCut(success: true)
            case 11: try model.punch()
            default:
                if step % 3 == 0 {
                    model.adopt(using: &random)
                    try model.endCut(success: false)
                }
            }
            #expect(model.overlay.size == UInt64(model.bytes.count), "seed \(seed) step \(step)")
            #expect(try model.shown() == model.bytes, "seed \(seed) step \(step)")
            #expect(try model.isAdoptedIntact(), "seed \(seed) step \(step)")
            if let cut = model.cut, model.overlay.cut?.isAbandoned == false {
                #expect(try model.shownCut() == cut.bytes, "seed \(seed) cut at \(step)")
            }
            // What changed since the base lies in the dirty ranges: jobs look only there.
            guard model.overlay.memory == nil, step % 8 == 0 else { continue }
            let base = try contentBytes(model.reader.content, model.chunks)
            for index in 0..<min(base.count, model.bytes.count)
            where base[index] != model.bytes[index] {
                guard model.overlay.dirty.range(at: UInt64(index)) == nil else { continue }
                Issue.record("seed \(seed) step \(step): byte \(index) is not dirty")
                return
            }
        }
        try model.endCut(success: true)
        try model.punch()
        model.overlay.discard()
        try model.depot.release(now: .zero) {}
        model.depot.dropSpares()
        #expect(try model.isAdoptedIntact(), "seed \(seed)")
        #expect(model.staging.files.isEmpty, "seed \(seed)")
        #expect(model.depot.bytesUsed == 0, "seed \(seed)")
        #expect(model.depot.bytesInMemory == 0, "seed \(seed)")
        if memoryMax == 1 << 20 { #expect(model.staging.made == 0, "seed \(seed)") }
    }

    @Test
    func `what a chunk storage adopted is written over in another file`() throws {
        var model = try OverlayModel(base: [])
        try model.write(randomBytes(100_000, seed: 1), at: 0)
        let first = try #require(model.overlay.staged)
        model.beginCut()
        try model.write(randomBytes(5000, seed: 2), at: 100_000)
        #expect(model.overlay.cut?.isSpoiled == false)
        #expect(model.overlay.freeze([0..<90_000]) === first)
        #expect(model.overlay.isHeld(80_000..<80_001))
        #expect(!model.overlay.isHeld(90_000..<200_000))
        try model.endCut(success: true)
        #expect(!model.overlay.isHeld(80_000..<80_001))
        // What goes on at the end stays in the file.
        try model.write([1, 2, 3], at: 105_000)
        #expect(model.overlay.staged === first)
        try model.write([9, 9], at: 50)
        #expect(model.overlay.staged !== first)
        #expect(try model.shown() == model.bytes)
        // Until a record names the other one.
        #expect(model.staging.files.count == 2)
        model.overlay.retireOutgrown()
        try model.punch()
        #expect(model.staging.files.count == 1)
        #expect(try model.shown() == model.bytes)
    }

    @Test
    func `what was written over since the cut is not adopted`() throws {
        var model = try OverlayModel(base: [])
        try model.write(randomBytes(2_000_000, seed: 1), at: 0)
        model.beginCut()
        #expect(model.overlay.cut?.inPlace.ranges == [0..<2_000_000])
        try model.write([7], at: 1_999_999)
        #expect(model.overlay.freeze([0..<10]) == nil)
        #expect(try model.shownCut().last != 7 || randomBytes(2_000_000, seed: 1).last == 7)
        try model.endCut(success: true)
        #expect(try model.shown() == model.bytes)
    }

    /// A record names the file and what a job takes from it: after a crash that must be there as it was.
    @Test(arguments: [true, false], [8000, 900_000])
    func `a file that a job works on goes on in another staging file`(success: Bool, size: Int)
        throws
    {
        let base = randomBytes(20_000, seed: 1)
        var model = try OverlayModel(base: base)
        let first = randomBytes(size, seed: 2)
        try model.write(first, at: 8000)
        let staged = try #require(model.overlay.staged)
        model.beginCut()
        // What it does not name is written beside.
        try model.write([1], at: 100)
        #expect(model.overlay.staged === staged)
        try model.write(randomBytes(10_000, seed: 3), at: 3000)
        let other = try #require(model.overlay.staged)
        #expect(other !== staged)
        var left = [UInt8](repeating: 0, count: size)
        try left.withUnsafeMutableBytes { try staged.read(at: 8000, into: $0) }
        #expect(left == first)
        #expect(try model.shown() == model.bytes)
        #expect(try model.shownCut() == model.cut?.bytes)
        // Once is enough.
        try model.write([2], at: 3000)
        #expect(model.overlay.staged === other)
        try model.endCut(success: success)
        #expect(try model.shown() == model.bytes)
        #expect(model.staging.files.count == 2)
        // A durable record names the other one.
        model.overlay.retireOutgrown()
        try model.punch()
        #expect(model.staging.files.count == 1)
        #expect(try model.shown() == model.bytes)
    }

    @Test
    func `a file longer than what memory holds of one has a staging file`() throws {
        var model = try OverlayModel(base: [], memoryMax: 1 << 20)
        let most = MountLimits.stagedInMemoryMax
        try model.write(randomBytes(most, seed: 1), at: 0)
        #expect(model.staging.files.isEmpty)
        #expect(model.depot.bytesInMemory == UInt64(most))
        try model.write([7], at: most)
        #expect(model.staging.files.count == 1)
        #expect(model.depot.bytesInMemory == 0)
        #expect(try model.shown() == model.bytes)
    }

    @Test
    func `what a job stored and nobody punched yet does not come back`() throws {
        var model = try OverlayModel(base: randomBytes(50_000, seed: 1))
        try model.write(randomBytes(1000, seed: 2), at: 30_000)
        model.beginCut()
        try model.write([7], at: 100)
        try model.endCut(success: true)
        try model.truncate(to: 20_000)
        try model.truncate(to: 40_000)
        #expect(try model.shown() == model.bytes)
    }

    /// After a crash the file is what its last record says.
    @Test
    func `what a file loses stays staged for records that name it`() throws {
        var model = try OverlayModel(base: [])
        let bytes = randomBytes(200_000, seed: 1)
        try model.write(bytes, at: 0)
        let file = try model.overlay.spill(in: model.depot)
        try model.truncate(to: 80_000)
        var staged = [UInt8](repeating: 0, count: bytes.count)
        let count = try staged.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
        #expect(count == bytes.count && staged == bytes)
        // It does not come back.
        try model.truncate(to: 120_000)
        #expect(try model.shown() == model.bytes)
        try model.write([1], at: 150_000)
        #expect(try model.shown() == model.bytes)
    }

    @Test
    func `a staging file that comes again shows nothing of whose it was`() throws {
        var model = try OverlayModel(base: randomBytes(60_000, seed: 1))
        try model.write(randomBytes(60_000, seed: 2), at: 0)
        let used = try #require(model.overlay.staged).spill().id
        model.beginCut()
        try model.endCut(success: true)
        #expect(model.overlay.staged == nil)
        try model.punch()
        #expect(model.staging.files.count == 1)

        // Under it the base would show again where the file was cut and grows.
        try model.truncate(to: 10_000)
        try model.write([5], at: 0)
        let staged = try #require(model.overlay.staged)
        #expect(try staged.spill().id == used)
        try model.write([1, 2, 3], at: 50_000)
        #expect(try model.shown() == model.bytes)
        try model.zero(2000..<45_000)
        #expect(try model.shown() == model.bytes)
        #expect(!model.depot.dropSpares())
    }

    @Test
    func `spare staging files go in time, and large ones to large files`() throws {
        let staging = FakeStaging()
        let depot = StagingDepot(area: staging, bytesMax: 8 << 20)
        func make(bytes: Int) throws -> StagedData {
            let made = depot.make(expecting: UInt64(bytes))
            _ = try made.spill()
            try [1].withUnsafeBytes { try made.write($0, at: UInt64(bytes - 1)) }
            return made
        }
        let sizes = [100_000, 2 << 20, 3000]
        let used = try sizes.map { try make(bytes: $0) }
        for one in used { depot.retire(one, isSpare: true, now: .zero) }
        depot.retire(try make(bytes: 5000), isSpare: false, now: .zero)
        try depot.release(now: Instant(nanoseconds: 5)) {}
        #expect(staging.files == [1, 2, 3])

        // The smallest will do for a small file; the large one is not given to it.
        #expect(try depot.makeFile(expecting: 10).file.id == 3)
        #expect(try depot.makeFile(expecting: 10).file.id == 1)
        #expect(try depot.makeFile(expecting: 10).file.id == 5)
        #expect(!depot.dropSpares(unusedSince: Instant(nanoseconds: 4)))
        #expect(try depot.makeFile(expecting: 1 << 20).file.id == 2)

        // No more bytes than are kept for spares, and none for longer than that.
        depot.retire(try make(bytes: 5 << 20), isSpare: true, now: .zero)
        depot.retire(try make(bytes: 1 << 20), isSpare: true, now: .zero)
        try depot.release(now: .zero) {}
        #expect(staging.files == [1, 2, 3, 5, 7])
        #expect(depot.dropSpares(unusedSince: .zero))
        #expect(staging.files == [1, 2, 3, 5])
    }

    @Test
    func `a small file stays in memory`() throws {
        var model = try OverlayModel(base: [1, 2, 3])
        try model.write([9], at: 4095)
        #expect(model.overlay.memory?.count == 4096)
        #expect(model.staging.files.isEmpty)
        try model.write([9], at: 4096)
        #expect(model.overlay.memory == nil)
        #expect(model.staging.files.count == 1)
    }

    @Test
    func `holes that were punched count nothing`() throws {
        var model = try OverlayModel(base: randomBytes(100_000, seed: 1))
        try model.zero(0..<100_000)
        #expect(model.depot.bytesUsed == 0)
        #expect(model.overlay.stretch(at: 50) == .zeros(until: 100_000))
        try model.write([1], at: 50)
        #expect(model.overlay.stretch(at: 49) == .zeros(until: 50))
        #expect(model.overlay.stretch(at: 50) == .data(until: 51))
    }
}
