import Base

/// Cuts a source into data and holes, from left to right, in one window of memory.
///
/// A maximal run of at least `ChunkLimits.holeSizeMin` zeros is a hole. What lies between holes is cut
/// by the gear table. So what begins at an offset depends only on the bytes from there to
/// `lookahead` bytes beyond its end: the reason why a rebuild need not read the whole file.
struct Cutter<Source: ContentSource> {
    enum Cut: Equatable {
        /// Passed over already.
        case hole(UInt64)
        /// The next bytes: `put` stores them, `advance` passes over them.
        case data(Int)
    }

    /// Bytes beyond a piece that can have a say in where it ends.
    static var lookahead: UInt64 { UInt64(ChunkLimits.holeSizeMin) }
    /// Bytes asked of the source at once: twice as many each time, until it goes forward without reading.
    private static var readSizeMin: Int { 128 << 10 }
    private static var readSizeMax: Int { 512 << 10 }
    static var windowSize: Int { 2 << 20 }

    private let source: Source
    /// Of the source, asked once.
    private let size: UInt64
    private let table: GearTable
    /// `front..<filled` holds the bytes from `offset` on.
    private(set) var window: [UInt8]
    private var front = 0
    private var filled = 0
    private var readSize = Self.readSizeMin
    /// Where the next piece begins.
    private(set) var offset: UInt64 = 0

    /// - Parameter window: memory to use again; any size.
    init(_ source: Source, table: GearTable, window: consuming [UInt8]) {
        self.source = source
        self.table = table
        size = source.size
        let room = Int(min(UInt64(Self.windowSize), size))
        if window.count < room { window = [UInt8](repeating: 0, count: room) }
        self.window = window
    }

    /// What begins at `offset`; nil at the end of the source.
    mutating func next() throws(ContentError) -> Cut? {
        let rest = size - offset
        guard rest > 0 else { return nil }
        try fill(min(rest, Self.lookahead))
        if ZeroScan.prefix(available) >= ChunkLimits.holeSizeMin { return try .hole(skipZeros()) }
        var search = GearTable.Search()
        var length = table.end(in: available, &search)
        while length == nil {
            let count = UInt64(filled - front)
            guard count < rest else { break }
            try fill(min(rest, count + 1))
            length = table.end(in: available, &search)
        }
        let end = length ?? Int(rest)
        try fill(min(rest, UInt64(end) + Self.lookahead))
        let looked = available.extracting(0..<min(filled - front, end + Int(Self.lookahead)))
        let hole = ZeroScan.firstRun(of: ChunkLimits.holeSizeMin, in: looked)
        return .data(min(end, hole ?? end))
    }

    /// Makes the next `count` bytes a chunk.
    ///
    /// - Precondition: `count` is at most what `next` said.
    func put(_ count: Int, into sink: inout ChunkSink) throws(ContentError) -> ChunkReference {
        do {
            return try sink.put(window.span.extracting(front..<front + count), from: offset)
        } catch {
            throw .storage(error)
        }
    }

    /// Passes over bytes that `next` has seen.
    mutating func advance(_ count: Int) {
        precondition(count <= filled - front)
        front += count
        offset += UInt64(count)
    }

    /// Goes forward to `target`, without reading what lies between.
    mutating func seek(to target: UInt64) {
        precondition(target >= offset && target <= size)
        if target - offset <= UInt64(filled - front) {
            advance(Int(target - offset))
        } else {
            (front, filled, offset) = (0, 0, target)
            readSize = Self.readSizeMin
        }
    }

    private var available: Span<UInt8> {
        @_lifetime(borrow self)
        get { window.span.extracting(front..<filled) }
    }

    /// Passes over zeros, however many.
    private mutating func skipZeros() throws(ContentError) -> UInt64 {
        let start = offset
        while true {
            advance(ZeroScan.prefix(available))
            guard front == filled, offset < size else { return offset - start }
            let known = min(source.zeros(from: offset), size)
            if known > offset {
                (front, filled, offset) = (0, 0, known)
            } else {
                try fill(1)
            }
        }
    }

    /// Reads until at least `count` bytes are available; a little more if that costs nothing.
    private mutating func fill(_ count: UInt64) throws(ContentError) {
        while UInt64(filled - front) < count {
            if window.count - filled < readSize, front > 0 { compact() }
            let end = offset + UInt64(filled - front)
            let space = Int(
                min(UInt64(min(window.count - filled, readSize)), size - end))
            let zeros = source.zeros(from: end)
            if zeros > end {
                let count = Int(min(zeros - end, UInt64(space)))
                clear(count)
            } else {
                filled += try read(at: end, atMost: space)
                readSize = min(2 * readSize, Self.readSizeMax)
            }
        }
    }

    /// Makes the next `count` bytes zeros; the window has room for them.
    private mutating func clear(_ count: Int) {
        let part = filled..<filled + count
        // The part lies in bounds: slicing checks it.
        unsafe window.withUnsafeMutableBytes { window in
            _ = unsafe UnsafeMutableRawBufferPointer(rebasing: window[part])
                .initializeMemory(as: UInt8.self, repeating: 0)
        }
        filled += count
    }

    private mutating func read(at end: UInt64, atMost space: Int) throws(ContentError) -> Int {
        let from = filled
        let source = source
        // The part of the window lies in bounds and is used only during the call.
        var span = window.mutableSpan
        let count = unsafe try span.withUnsafeMutableBytes {
            (window) throws(ContentError) -> Int in
            try unsafe source.read(
                at: end,
                into: UnsafeMutableRawBufferPointer(rebasing: window[from..<from + space]))
        }
        guard count > 0, count <= space else {
            throw .storage(.corrupt(what: "a file that was being cut ended before its size"))
        }
        return count
    }

    /// Moves what is available to the front of the window.
    private mutating func compact() {
        let count = filled - front
        let from = front
        // Both parts lie in bounds; `memmove` allows them to overlap.
        unsafe window.withUnsafeMutableBytes { window in
            unsafe UnsafeMutableRawBufferPointer(rebasing: window[..<count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: window[from..<from + count]))
        }
        (front, filled) = (0, count)
    }
}
