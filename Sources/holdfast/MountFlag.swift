import FuseMount
import Store

/// What can be said about a mount itself, for as long as it lasts; the raw value names the option.
enum MountFlag: String, CaseIterable, Sendable {
    case readOnly = "read-only"
    case allowOther = "allow-other"
    case suid
    case dev

    /// All of them, as they are typed.
    static var words: String {
        (allCases.map(\.rawValue) + ["source"]).map { "--\($0)" }.joined(separator: ", ")
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
        }
    }
}

extension MountOptions {
    init(_ settings: ShareSettings, _ options: ServeOptions) {
        self.init(mountPoint: settings.mountPoint)
        let flags = options.mounting
        if let source = options.source { self.source = source }
        readOnly = flags.contains(.readOnly)
        allowOther = flags.contains(.allowOther)
        suid = flags.contains(.suid)
        dev = flags.contains(.dev)
    }
}
