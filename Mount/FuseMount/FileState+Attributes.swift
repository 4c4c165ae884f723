internal import Base
internal import Chunks
internal import Share

/// What stat shows of a file that is open or dirty, and what a write takes away.
extension FileState {
    /// Puts size and times of what is open over those of the volume.
    func patch(_ attributes: inout Attributes) {
        access { state in
            guard state.isLoaded else { return }
            attributes.size = state.overlay.size
            if state.isDirty {
                attributes.modified = state.modified
                attributes.changed = max(attributes.changed, state.changed)
                state.wasShown = true
            }
            state.lastAttributes = attributes
        }
    }

    /// What a file shows that others removed while it was open here.
    var attributesWithoutName: Attributes? {
        access { state in
            var attributes = state.lastAttributes
            attributes?.links = 0
            attributes?.size = state.overlay.size
            return attributes
        }
    }

    /// Whether the kernel owes the time of the last write: it tells when a file is closed, but not for a
    /// program that is killed meanwhile, and never again.
    var isTimeUntold: Bool { access { $0.isTimeUntold } }

    // MARK: Privileges that writing takes away

    /// Whether a write must look for setuid and setgid bits, or for a capability.
    ///
    /// - Parameter byRoot: root keeps setuid and setgid bits when it writes.
    func mayHavePrivileges(byRoot: Bool) -> Bool {
        access { $0.mayHaveCapability || $0.mayHaveSetID && !byRoot }
    }

    /// Whether it was looked for and found to have no capability.
    var hasNoCapability: Bool { access { !$0.mayHaveCapability } }

    /// The privileges were looked for: what is left.
    func notePrivileges(setID: Bool, capability: Bool) {
        access { state in
            state.mayHaveSetID = setID
            state.mayHaveCapability = capability
        }
    }

    /// Attributes changed: the next write looks again.
    func expectPrivileges() { notePrivileges(setID: true, capability: true) }

    /// What lacks a time of modification that is told.
    enum TimeLack {
        /// Bytes that no version has yet: the next one will carry it.
        case nextVersion
        /// The version that was made last: the volume must be told.
        case lastVersion
        /// Nothing that was written here.
        case nothing
    }

    /// Notes a time of modification that a program sets, or that the kernel tells of what was written.
    ///
    /// - Parameter isKnown: whether it is one that the kernel was told. Another may be that of bytes that it has still
    ///   to send.
    func setModified(_ time: Timestamp, wallTime: Timestamp, isKnown: Bool = false) -> TimeLack {
        access { state in
            let isOwed = state.isTimeUntold && !state.isOrphan
            state.isTimeUntold = false
            if state.carry(time, wallTime: wallTime) { return .nextVersion }
            if !isKnown { state.modified = time }
            return isOwed ? .lastVersion : .nothing
        }
    }

    /// Notes a time that was owed, if it still is.
    ///
    /// - Returns: whether the volume must be told; else the next version will carry it, or there is
    ///   nothing to tell any more.
    func takesUntold(_ time: Timestamp, wallTime: Timestamp) -> Bool {
        access { state in
            guard state.isTimeUntold, !state.isOrphan else { return false }
            state.isTimeUntold = false
            return !state.carry(time, wallTime: wallTime)
        }
    }
}

extension FileState.State {
    /// - Returns: whether there will be a version to carry the time.
    fileprivate mutating func carry(_ time: Timestamp, wallTime: Timestamp) -> Bool {
        guard isDirty else { return false }
        modified = time
        changed = wallTime
        modifiedSettings += 1
        return true
    }
}
