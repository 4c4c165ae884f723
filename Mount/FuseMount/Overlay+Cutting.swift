internal import Base
internal import Chunks
internal import Share

/// A job works on a cut of the overlay while writing goes on.
extension Overlay {
    /// What a job turns into chunks.
    struct Cut {
        let size: UInt64
        let dirty: RangeSet
        /// Parts of `dirty` that are zeros.
        let zeroed: RangeSet
        /// Parts of `dirty` that need not be copied to become chunks.
        let inPlace: RangeSet
        let staged: StagedData?
        var aside: StagedData?
        var preserved = RangeSet()
        /// The file was emptied since: the cut has the staging file for itself.
        var isDetached = false
        /// What was written since is in another staging file, all the same: see `leaveToCut`.
        var isLeft = false
        /// Some of what is in place was written over.
        var isSpoiled = false
        /// Too much would have had to be copied aside: the job's bytes are worthless.
        var isAbandoned = false

        /// What stood at `offset`, which must be below the cut's size.
        func stretch(at offset: UInt64) -> Stretch {
            Overlay.stretch(at: offset, of: size, dirty: dirty, zeroed: zeroed)
        }
    }

    /// What the end of a job leaves to give back.
    struct Leftovers {
        /// A staging file that is needed no more.
        var file: StagedData?
        /// Whether a record may name it that nobody replaces.
        var isRecorded = false
        /// Ranges of the staging file `partly` that the new base holds now.
        var ranges: [Range<UInt64>] = []
        var partly: StagedData?
    }

    /// Freezes the bytes as they are now, for a job.
    ///
    /// What stands in the staging file in one large piece stays there and becomes chunks in place; so does
    /// what was written past the base. The rest is copied: it would leave a data file full of holes.
    ///
    /// - Precondition: no cut is being worked on, and the content is not in memory.
    mutating func beginCut() -> Cut {
        precondition(cut == nil && memory == nil)
        let inPlace = rangesInPlace
        let cut = Cut(
            size: size, dirty: dirty, zeroed: zeroed, inPlace: inPlace, staged: staged)
        self.cut = cut
        dirtySinceCut = RangeSet()
        return cut
    }

    var rangesInPlace: RangeSet {
        guard let staged, staged.file != nil else { return RangeSet() }
        var data = dirty
        data.remove(zeroed)
        var inPlace = data
        inPlace.remove(0..<baseSize)
        if inPlace.byteCount < staged.adoptedBytesMin { inPlace = RangeSet() }
        for range in data.ranges where range.count >= staged.adoptedBytesMin {
            inPlace.insert(range)
        }
        return inPlace
    }

    /// Keeps parts of what is in place from being changed.
    ///
    /// - Returns: nil if they were changed since the cut, or are not on the disk.
    func freeze(_ ranges: [Range<UInt64>]) -> StagedData? {
        guard let cut, !cut.isSpoiled, !cut.isAbandoned, let staged = cut.staged else { return nil }
        return staged.freeze(ranges) ? staged : nil
    }

    /// Whether a range cannot be changed until the cut has ended.
    func isHeld(_ range: Range<UInt64>) -> Bool {
        guard cut != nil, let staged else { return false }
        return staged.isFrozen(range)
    }

    /// The cut's content is stored as `content` and lies below now.
    mutating func endCut(as content: Content) -> Leftovers {
        guard let cut else { return Leftovers() }
        cut.aside?.remove()
        self.cut = nil
        guard !cut.isDetached else { return Leftovers(file: cut.staged, isRecorded: true) }
        noteLeft(by: cut)
        baseSize = content.size
        if case .inline(let bytes) = content { baseBytes = bytes } else { baseBytes = nil }
        dirty = dirtySinceCut
        dirtySinceCut = RangeSet()
        var stillZeroed = RangeSet()
        for range in dirty.ranges {
            for part in zeroed.intersection(range) { stillZeroed.insert(part) }
        }
        zeroed = stillZeroed
        guard !dirty.isEmpty else {
            let file = staged
            staged = nil
            return Leftovers(file: file)
        }
        var stored = cut.dirty
        stored.remove(dirty)
        return Leftovers(ranges: stored.ranges, partly: staged)
    }

    /// The job failed: the bytes stay dirty.
    mutating func abandonCut() -> Leftovers {
        guard let cut else { return Leftovers() }
        cut.aside?.remove()
        self.cut = nil
        if !cut.isDetached { noteLeft(by: cut) }
        dirtySinceCut = RangeSet()
        return Leftovers(file: cut.isDetached ? cut.staged : nil, isRecorded: true)
    }

    /// Gives space of the staging file back, except where it is dirty (again).
    func punch(_ ranges: [Range<UInt64>], of file: StagedData) throws(StorageError) {
        guard staged === file, cut == nil else { return }
        for range in ranges {
            var unused = file.withoutFrozen(RangeSet(range))
            for part in dirty.intersection(range) { unused.remove(part) }
            for part in unused.ranges { try file.punchHole(part) }
        }
        file.count(dirty.byteCount - zeroed.byteCount)
    }

    /// Before a small file is written over what a job works on: that keeps the staging file, and another goes on.
    ///
    /// The last record names that file and what the job takes from it. Were it written over there, a crash would
    /// show what of the write falls into those parts, and not the rest of it.
    ///
    /// - Returns: the file to write to.
    mutating func leaveToCut(
        _ staged: StagedData, changing range: Range<UInt64>, in depot: StagingDepot
    ) throws(StorageError) -> StagedData {
        guard let cut, !cut.isDetached, !cut.isAbandoned, cut.staged === staged,
            // What is in memory no record names.
            staged.file != nil, !cut.dirty.intersection(range).isEmpty,
            dirty.byteCount - zeroed.byteCount <= MountLimits.copiedFromCutMax
        else { return staged }
        let made = try copied(staged, in: depot)
        made.count(staged.byteCount)
        self.cut?.isLeft = true
        self.staged = made
        return made
    }

    /// A job has ended with a staging file that nothing is written to any more; a record may name it.
    private mutating func noteLeft(by cut: Cut) {
        guard cut.isLeft, let file = cut.staged else { return }
        file.count(0)
        outgrown.append(file)
    }

    /// Saves aside what the cut still needs of `range`.
    mutating func preserve(_ range: Range<UInt64>, in depot: StagingDepot)
        throws(StorageError)
    {
        guard var cut, !cut.isDetached, !cut.isAbandoned, !cut.isLeft, let staged = cut.staged
        else { return }
        if !cut.inPlace.intersection(range).isEmpty {
            cut.isSpoiled = true
            self.cut?.isSpoiled = true
        }
        var needed = RangeSet()
        for part in cut.dirty.intersection(range) { needed.insert(part) }
        needed.remove(cut.preserved)
        guard !needed.isEmpty else { return }
        guard needed.byteCount + cut.preserved.byteCount <= MountLimits.preserveBytesMax else {
            self.cut?.isAbandoned = true
            return
        }
        let aside = if let aside = cut.aside { aside } else { depot.make(expecting: 0) }
        cut.aside = aside
        for part in needed.ranges {
            try copy(part, from: staged, to: aside)
            cut.preserved.insert(part)
        }
        self.cut = cut
    }
}
