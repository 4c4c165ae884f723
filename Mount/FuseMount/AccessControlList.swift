/// Who may do what with a file, beyond what its mode says: a POSIX ACL (POSIX 1003.1e, draft 17; acl(5)).
///
/// As Linux lays it out in extended attributes (linux/posix_acl_xattr.h), little-endian: a version, 2
/// (4 bytes); then entries of 8 bytes: tag (2), permissions (2), number of a user or group (4).
struct AccessControlList: Equatable {
    enum Tag: UInt16 {
        case owner = 0x01
        case user = 0x02
        case owningGroup = 0x04
        case group = 0x08
        case mask = 0x10
        case other = 0x20
    }

    struct Entry: Equatable {
        var tag: Tag
        /// Read 4, write 2, execute 1.
        var permissions: UInt32
        /// The user or group; for entries that name none what Linux writes there.
        var id: UInt32 = .max
    }

    enum Limits {
        /// What the kernel reads of one fits a page of 4096 bytes.
        static let entriesMax = 511
        static let sizeMax = header + entriesMax * entry
        static let header = 4
        static let entry = 8
        static let version: UInt32 = 2
    }

    /// In the order that acl(5) has them: the owner, users, the owning group, groups, mask, others.
    private(set) var entries: [Entry]

    /// - Returns: nil for what breaks a rule of acl(5), or has too many entries.
    init?(_ entries: [Entry]) {
        guard entries.count <= Limits.entriesMax, Self.isValid(entries) else { return nil }
        self.entries = entries
    }

    /// - Parameter bytes: an extended attribute's value.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= Limits.header, bytes.count <= Limits.sizeMax,
            (bytes.count - Limits.header) % Limits.entry == 0,
            bytes[0] == UInt8(Limits.version), bytes[1..<4].allSatisfy({ $0 == 0 })
        else { return nil }
        var entries: [Entry] = []
        for at in stride(from: Limits.header, to: bytes.count, by: Limits.entry) {
            func half(_ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }
            guard let tag = Tag(rawValue: half(at)) else { return nil }
            let id = UInt32(half(at + 4)) | UInt32(half(at + 6)) << 16
            entries.append(
                Entry(tag: tag, permissions: UInt32(half(at + 2)), id: tag.isNamed ? id : .max))
        }
        self.init(entries)
    }

    /// What stands for a list that cannot be read: the owner and others as the mode says, nothing for the
    /// owning group, since nobody knows whom the mode's bits for the group are meant for.
    static let unreadable = AccessControlList(trusted: [
        Entry(tag: .owner, permissions: 0), Entry(tag: .owningGroup, permissions: 0),
        Entry(tag: .mask, permissions: 0), Entry(tag: .other, permissions: 0),
    ])

    private init(trusted entries: [Entry]) { self.entries = entries }

    var encoded: [UInt8] {
        var bytes: [UInt8] = [UInt8(Limits.version), 0, 0, 0]
        bytes.reserveCapacity(Limits.header + entries.count * Limits.entry)
        for entry in entries {
            for half in [
                entry.tag.rawValue, UInt16(truncatingIfNeeded: entry.permissions),
                UInt16(truncatingIfNeeded: entry.id), UInt16(truncatingIfNeeded: entry.id >> 16),
            ] {
                bytes.append(UInt8(truncatingIfNeeded: half))
                bytes.append(UInt8(truncatingIfNeeded: half >> 8))
            }
        }
        return bytes
    }

    // MARK: The mode

    /// Whether it says nothing that a mode cannot say.
    var isMinimal: Bool { entries.count == 3 }

    /// The permission bits that show it: of the owner, the mask (or else the owning group), others.
    var mode: UInt32 {
        entries.reduce(0) { mode, entry in
            shift(of: entry.tag).map { mode | entry.permissions << $0 } ?? mode
        }
    }

    /// The same with what the mode says: that is the truth for the entries it shows, so that one who changes
    /// the mode need not write the list, too.
    ///
    /// - Parameter mode: the bits above 0o777 mean nothing here.
    func showing(mode: UInt32) -> AccessControlList {
        var shown = self
        for index in entries.indices {
            guard let shift = shift(of: entries[index].tag) else { continue }
            shown.entries[index].permissions = mode >> shift & 0o7
        }
        return shown
    }

    /// What something made in a directory gets whose default ACL this is: the umask plays no part.
    ///
    /// - Parameter mode: what its maker asked for.
    func inherited(mode: UInt32) -> AccessControlList { showing(mode: self.mode & mode) }

    private func shift(of tag: Tag) -> UInt32? {
        switch tag {
        case .owner: 6
        case .owningGroup: hasMask ? nil : 3
        case .mask: 3
        case .other: 0
        case .user, .group: nil
        }
    }

    private var hasMask: Bool { entries.contains { $0.tag == .mask } }

    // MARK: Rules

    private static func isValid(_ entries: [Entry]) -> Bool {
        var last: Tag?
        var counts: [Tag: Int] = [:]
        for entry in entries {
            guard entry.permissions <= 0o7, !entry.tag.isNamed || entry.id != .max else {
                return false
            }
            if let last, entry.tag.rawValue < last.rawValue { return false }
            last = entry.tag
            counts[entry.tag, default: 0] += 1
        }
        let named = (counts[.user] ?? 0) + (counts[.group] ?? 0)
        let masks = counts[.mask] ?? 0
        return counts[.owner] == 1 && counts[.owningGroup] == 1 && counts[.other] == 1
            && masks <= 1 && (masks == 1 || named == 0)
    }
}

extension AccessControlList.Tag {
    /// Whether its entries name a user or a group.
    var isNamed: Bool { self == .user || self == .group }
}
