import FuseMount
import Store

/// What can be said about a mount itself, for as long as it lasts; the raw value names the option.
enum MountFlag: String, CaseIterable, Sendable {
    case readOnly = "read-only"
    case allowOther = "allow-other"
    case suid
    case dev
    case noExec = "noexec"
    case sync
    case acl
    case nonempty

    /// All of them, as they are typed.
    static var words: String {
        (allCases.map(\.rawValue) + MountLook.options.map(\.name)).map { "--\($0)" }.joined(
            separator: ", ")
    }

    var option: OptionSpecification {
        OptionSpecification(name: rawValue, value: .flag, help: help)
    }

    private var help: String {
        switch self {
        case .readOnly: "let no program change anything here; changes from other devices arrive"
        case .allowOther:
            "let other users of this machine in, as far as modes allow; who is not root needs "
                + "user_allow_other in /etc/fuse.conf"
        case .suid: "honour setuid and setgid bits of programs; for root only"
        case .dev: "open device nodes as devices; for root only"
        case .noExec: "let no program in it be run"
        case .sync: "make each write durable before it returns"
        case .acl:
            "keep POSIX ACLs (setfacl, getfacl) and check them; only with --owner=recorded"
        case .nonempty: "mount over a folder that has something in it, which is hidden meanwhile"
        }
    }
}

extension MountOptions {
    init(_ settings: ShareSettings, _ options: ServeOptions) {
        self.init(mountPoint: settings.mountPoint)
        let flags = options.mounting
        readOnly = flags.contains(.readOnly)
        allowOther = flags.contains(.allowOther)
        suid = flags.contains(.suid)
        dev = flags.contains(.dev)
        exec = !flags.contains(.noExec)
        sync = flags.contains(.sync)
        acl = flags.contains(.acl)
        let look = options.look
        if let source = look.source { self.source = source }
        if let seconds = look.cacheSeconds { cacheSeconds = Double(seconds) }
        ownership = look.ownership ?? ownership
    }
}
