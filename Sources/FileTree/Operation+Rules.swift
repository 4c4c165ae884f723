extension Operation {
    /// Whether the operation keeps the rules that need no view: names, bounds, kinds.
    ///
    /// The one place where names from outside are judged. Decoding refuses what fails here, and so does
    /// the tree.
    package var isWellFormed: Bool {
        switch self {
        case .make(let make): make.isWellFormed
        case .place(let place): isEntryName(place.name)
        case .remove: true
        case .write(let write): write.isWellFormed
        case .setAttribute(let change): (change.mode ?? 0) <= 0o7777
        case .setXattr(let xattr):
            isXattrName(xattr.name) && xattr.value.count <= Limits.xattrValueSizeMax
        case .removeXattr(let xattr): isXattrName(xattr.name)
        case .admit(let admit): admit.name.count <= Limits.deviceNameSizeMax
        case .retire: true
        case .checkpoint(let checkpoint): checkpoint.content.count <= Limits.contentSizeMax
        case .revoke(let revoke): revoke.length <= Limits.blocksPerLogMax
        case .invite(let invite): invite.expiresMilliseconds <= Limits.millisecondsMax
        case .set(let setting):
            setting.key.count <= Limits.settingKeySizeMax
                && setting.value.count <= Limits.settingValueSizeMax
        }
    }
}

extension Operation.Make {
    fileprivate var isWellFormed: Bool {
        guard mode <= 0o7777 else { return false }
        let isDevice = kind == .characterDevice || kind == .blockDevice
        guard isDevice || device == 0 else { return false }
        if kind == .symlink {
            return (1...Limits.targetSizeMax).contains(target.count) && !target.contains(0)
        }
        return target.isEmpty
    }
}

extension Operation.Write {
    fileprivate var isWellFormed: Bool {
        size <= Limits.fileSizeMax && content.count <= Limits.contentSizeMax
            && parents.count <= Limits.parentsMax && Set(parents).count == parents.count
    }
}

/// Whether an entry may have this name: 1 to 255 bytes, no slash, no NUL, neither `.` nor `..`.
package func isEntryName(_ name: [UInt8]) -> Bool {
    let dot = UInt8(ascii: ".")
    guard (1...Limits.nameSizeMax).contains(name.count) else { return false }
    return name != [dot] && name != [dot, dot] && !name.contains(0)
        && !name.contains(UInt8(ascii: "/"))
}

/// Whether an extended attribute may have this name: 1 to 255 bytes, no NUL.
package func isXattrName(_ name: [UInt8]) -> Bool {
    (1...Limits.xattrNameSizeMax).contains(name.count) && !name.contains(0)
}
