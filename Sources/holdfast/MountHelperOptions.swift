import Host

/// What the options of mount(8) and fstab(5) mean for us.
struct MountHelperOptions: Equatable {
    /// Options of `holdfast mount`.
    var words: [String] = []
    /// Where the device's state is.
    var home: String?
    /// The user who is to mount, if root mounts for them.
    var user: String?
    var isRemount = false
    /// What the kernel is told when a mount is changed.
    var kernelWords: [String] = []

    /// - Parameter isSloppy: passes over what is unknown.
    init(_ options: [String], isSloppy: Bool = false) throws(CommandFailure) {
        var words = Words()
        for option in options { try add(option, to: &words, isSloppy: isSloppy) }
        let flags = words.flags.filter { !words.denied.contains($0) }
        self.words = flags.map { "--\($0)" } + words.values
    }

    private struct Words {
        var flags: [String] = []
        /// Flags that are not set, wherever that is said.
        var denied: Set<String> = []
        var values: [String] = []

        /// The last of two that say the opposite holds.
        mutating func set(_ flag: MountFlag, _ isOn: Bool) {
            flags.removeAll { $0 == flag.rawValue }
            if isOn { flags.append(flag.rawValue) }
        }

        /// mount(8) puts its own words before ours, however they were given: what it denies is denied.
        mutating func deny(_ flag: MountFlag, _ isDenied: Bool) {
            if isDenied {
                denied.insert(flag.rawValue)
            } else {
                denied.remove(flag.rawValue)
                set(flag, true)
            }
        }
    }

    private mutating func add(_ option: String, to words: inout Words, isSloppy: Bool)
        throws(CommandFailure)
    {
        let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        if parts.count > 1 {
            return try add(name, String(parts[1]), to: &words, isSloppy: isSloppy)
        }
        if Self.kernelOptions.contains(name) { kernelWords.append(name) }
        switch name {
        case "ro": words.set(.readOnly, true)
        case "rw": words.set(.readOnly, false)
        // mount(8) keeps `suid` and `dev` to itself: they are what it thinks anybody has without.
        case "suid": words.deny(.suid, false)
        case "nosuid": words.deny(.suid, true)
        case "setid": words.set(.suid, true)
        case "nosetid": words.set(.suid, false)
        case "dev": words.deny(.dev, false)
        case "nodev": words.deny(.dev, true)
        case "devices": words.set(.dev, true)
        case "nodevices": words.set(.dev, false)
        case "exec": words.set(.noExec, false)
        case "noexec": words.set(.noExec, true)
        case "sync": words.set(.sync, true)
        case "async": words.set(.sync, false)
        case "acl": words.set(.acl, true)
        case "noacl": words.set(.acl, false)
        case "allow_other": words.set(.allowOther, true)
        case "nonempty": words.set(.nonempty, true)
        case "remount": isRemount = true
        case "no-lan": words.flags.append(name)
        // The kernel always checks permissions, and reading never changes a time of access.
        case "default_permissions", "atime", "noatime", "relatime", "norelatime", "strictatime",
            "nostrictatime", "diratime", "nodiratime", "lazytime", "nolazytime":
            break
        // For mount(8) and those who read fstab.
        case "defaults", "auto", "noauto", "user", "users", "nouser", "nousers", "owner", "noowner",
            "group", "nogroup", "nofail", "_netdev", "silent", "loud":
            break
        case _ where name.hasPrefix("x-") || name.hasPrefix("X-"): break
        default: try refuse(option, isSloppy)
        }
    }

    private mutating func add(
        _ name: String, _ value: String, to words: inout Words, isSloppy: Bool
    ) throws(CommandFailure) {
        switch name {
        case "owner", "uid", "gid", "transport", "peer", "listen", "relay":
            words.values.append("--\(name)=\(value)")
        // A list has its commas in quotes, or is given in several options.
        case "bootstrap":
            for node in value.split(separator: ",") { words.values.append("--bootstrap=\(node)") }
        case "cache_seconds", "device_name":
            words.values.append("--\(name.replacing("_", with: "-"))=\(value)")
        case "home": home = value
        case "setuid": user = value
        // The kernel's table shows the first field of fstab, which `mount -a` compares.
        case "fsname", "subtype", "comment", "user": break
        // What the kernel's table says of a mount that is to change.
        case "user_id", "group_id", "max_read", "blksize": break
        case _ where name.hasPrefix("x-") || name.hasPrefix("X-"): break
        default: try refuse("\(name)=", isSloppy)
        }
    }

    private func refuse(_ option: String, _ isSloppy: Bool) throws(CommandFailure) {
        guard !isSloppy else { return }
        throw CommandFailure(
            .usage,
            "unknown mount option \(EscapedText.quoted(String(option.prefix(200)))): "
                + "holdfast mount --help has those there are")
    }

    private static let kernelOptions: Set<String> = [
        "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "noatime", "relatime",
        "strictatime", "nodiratime", "sync", "async",
    ]
}
