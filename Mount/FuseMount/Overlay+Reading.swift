internal import Base
internal import Chunks
internal import Share

extension Overlay {
    /// What stands from an offset up to another.
    enum Stretch: Equatable {
        case data(until: UInt64)
        case zeros(until: UInt64)
        /// The base tells: its bytes, or zeros past its end.
        case base(until: UInt64)

        var end: UInt64 {
            switch self {
            case .data(let until), .zeros(let until), .base(let until): until
            }
        }
    }

    /// What stands at `offset`, which must be below the size.
    func stretch(at offset: UInt64) -> Stretch {
        if memory != nil { return .data(until: size) }
        return Self.stretch(at: offset, of: size, dirty: dirty, zeroed: zeroed)
    }

    static func stretch(
        at offset: UInt64, of size: UInt64, dirty: RangeSet, zeroed: RangeSet
    ) -> Stretch {
        if let zeros = zeroed.range(at: offset) { return .zeros(until: zeros.upperBound) }
        if let data = dirty.range(at: offset) {
            let zeros = zeroed.range(after: offset)
            return .data(until: min(data.upperBound, zeros?.lowerBound ?? .max))
        }
        return .base(until: min(size, dirty.range(after: offset)?.lowerBound ?? .max))
    }

    /// Whether all of a range is the base's.
    func isBase(_ range: Range<UInt64>) -> Bool {
        memory == nil && dirty.intersection(range).isEmpty
    }

    /// Copies what is dirty; the caller fills `gaps`, ranges of the file, from the base.
    ///
    /// - Precondition: `range` is within the size, and as long as `buffer`.
    func read(
        _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>]
    ) throws(StorageError) {
        if let memory {
            unsafe memory.withUnsafeBytes { memory in
                // Small content is as long as the size says.
                unsafe buffer.copyMemory(
                    from: UnsafeRawBufferPointer(
                        rebasing: memory[Int(range.lowerBound)..<Int(range.upperBound)]))
            }
            return
        }
        guard let staged, !dirty.isEmpty else { return gaps.append(range) }
        try unsafe Self.read(dirty, range, into: buffer, gaps: &gaps) {
            (part, target) throws(StorageError) in
            try unsafe staged.read(at: part.lowerBound, into: target)
        }
    }

    /// As `read`, of the cut.
    func readCut(
        _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>]
    ) throws(StorageError) {
        guard let cut, let staged = cut.staged else { return gaps.append(range) }
        try unsafe Self.read(cut.dirty, range, into: buffer, gaps: &gaps) {
            (part, target) throws(StorageError) in
            var rest: [Range<UInt64>] = []
            try unsafe Self.read(cut.preserved, part, into: target, gaps: &rest) {
                (part, target) throws(StorageError) in
                try unsafe cut.aside?.read(at: part.lowerBound, into: target)
            }
            for part2 in rest {
                let start = Int(part2.lowerBound - part.lowerBound)
                // A part of `part`, which `target` is as long as.
                let target = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: target[start..<start + part2.count])
                try unsafe staged.read(at: part2.lowerBound, into: target)
            }
        }
    }

    static func read(
        _ held: RangeSet, _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>],
        _ copy: (Range<UInt64>, UnsafeMutableRawBufferPointer) throws(StorageError) -> Void
    ) throws(StorageError) {
        var position = range.lowerBound
        for part in held.intersection(range) {
            if position < part.lowerBound { gaps.append(position..<part.lowerBound) }
            let start = Int(part.lowerBound - range.lowerBound)
            // An intersection with `range`, which the buffer is as long as.
            let target = unsafe UnsafeMutableRawBufferPointer(
                rebasing: buffer[start..<start + part.count])
            try unsafe copy(part, target)
            position = part.upperBound
        }
        if position < range.upperBound { gaps.append(position..<range.upperBound) }
    }
}
