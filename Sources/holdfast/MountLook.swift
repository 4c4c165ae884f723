import FuseMount
import Glibc

/// What is said with a value about how a mount looks, for as long as it lasts.
struct MountLook: Equatable, Sendable {
    enum Owner: String, CaseIterable, Sendable { case user, recorded }

    /// What mount and df show as the source.
    var source: String?
    var owner: Owner?
    var uid: UInt32?
    var gid: UInt32?
    var cacheSeconds: Int?

    init() {}

    /// - Throws: if a user is named whom files are not to be shown as belonging to.
    init(_ parsed: ParsedCommand) throws(CommandFailure) {
        source = parsed.value("source")
        owner = parsed.value("owner").flatMap { Owner(rawValue: $0) }
        uid = parsed.value("uid").flatMap { UInt32($0) }
        gid = parsed.value("gid").flatMap { UInt32($0) }
        cacheSeconds = parsed.value("cache-seconds").flatMap { Int($0) }
        if owner == .recorded, uid != nil || gid != nil {
            throw CommandFailure(
                .usage, "uid and gid cannot be shown with the owner as recorded: leave them out")
        }
    }

    /// The same as words of a command line, for the daemon.
    var words: [String] {
        var words: [String] = []
        if let source { words.append("--source=\(source)") }
        if let owner { words.append("--owner=\(owner.rawValue)") }
        if let uid { words.append("--uid=\(uid)") }
        if let gid { words.append("--gid=\(gid)") }
        if let cacheSeconds { words.append("--cache-seconds=\(cacheSeconds)") }
        return words
    }

    /// Whom files are shown to belong to; nil leaves it to who mounts.
    var ownership: Ownership? {
        if owner == .recorded { return .recorded }
        guard owner == .user || uid != nil || gid != nil else { return nil }
        return .user(uid: uid ?? geteuid(), gid: gid ?? getegid(), keepsGroups: gid == nil)
    }

    static let options = [
        OptionSpecification(
            name: "source", value: .text("NAME"),
            help: "what mount and df show as the source, as /etc/fstab needs; default: holdfast"),
        OptionSpecification(
            name: "owner", value: .choice("WHOSE", Owner.allCases.map(\.rawValue)),
            help:
                "whom files are shown to belong to: to the user who mounts (user), or to whom the "
                + "share has recorded (recorded); default: recorded for root, else user"),
        OptionSpecification(
            name: "uid", value: .count("NUMBER", numbers),
            help: "the user whom all files are shown to belong to"),
        OptionSpecification(
            name: "gid", value: .count("NUMBER", numbers),
            help: "the group that all files are shown to belong to"),
        OptionSpecification(
            name: "cache-seconds", value: .count("SECONDS", 0...86_400),
            help: "how long the kernel may keep names and attributes, all changes of which it is "
                + "told; default: 86400"),
    ]

    /// The greatest number means that nobody is meant.
    private static let numbers = 0...Int(UInt32.max) - 1
}
