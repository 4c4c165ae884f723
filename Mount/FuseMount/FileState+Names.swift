internal import Base
internal import Chunks
internal import Share

/// What becomes of a publication and of the bytes when a name is taken away or goes to another node.
extension FileState {
    /// Calls back when no publication is under way: at once, if none is.
    func whenFree(_ call: @escaping @Sendable (VolumeError?) -> Void) {
        let isFree = access { state in
            guard state.publication != .idle else { return true }
            state.waiting.append(call)
            return false
        }
        if isFree { call(nil) }
    }

    /// Stops a publication under way and keeps others from starting, until `release`. Blocks for
    /// moments: as long as a job takes to notice.
    func hold() -> Overlay.Leftovers {
        while true {
            var leftovers = Overlay.Leftovers()
            let latch: Latch? = access { state in
                switch state.publication {
                case .idle: break
                case .queued, .fetching, .stored:
                    state.isWanted = true
                    state.work = nil
                    leftovers = state.overlay.abandonCut()
                case .running, .held:
                    state.isCancelled = true
                    state.isWanted = true
                    let latch = Latch()
                    state.waiting.append { _ in latch.open() }
                    return latch
                }
                state.publication = .held
                return nil
            }
            guard let latch else { return leftovers }
            latch.wait()
        }
    }

    /// Ends `hold`.
    func release() -> Ending {
        access { state in state.end() }
    }

    /// Nothing will be published any more: the file has no name.
    ///
    /// - Returns: whether a record must be forgotten.
    func makeOrphan() -> Bool {
        access { state in
            state.isOrphan = true
            state.endJournal()
            state.isWanted = false
            state.overlay.uncount()
            let hadRecord = state.hasRecord
            state.hasRecord = false
            return hadRecord
        }
    }

    /// Another device has taken its last name away. Bytes that no version holds yet were written without knowing that,
    /// and bring the file back.
    func noteRemovedElsewhere() {
        access { state in
            if !state.isDirty { state.isGoneElsewhere = true }
        }
    }

    /// Removes what an orphan staged; it must not be used again.
    func discard() {
        access { state in
            state.overlay.discard()
            state.reader = nil
            state.published = state.generation
        }
    }

    /// The name's node is another now; the bytes go on as its content.
    ///
    /// - Returns: whether something was recorded under the old node.
    @discardableResult
    func rebind(to node: NodeID, parents: [UInt64]?) -> Bool {
        access { state in
            state.node = node
            state.endJournal()
            if let parents { state.parents = parents }
            return state.hasRecord
        }
    }
}
