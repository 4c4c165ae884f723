import Base
import Glibc
import Host
import Share

/// What the first field of a line in fstab(5) says: a share of this device by its name, id or mount
/// folder; or an invite link, or better the file that holds one.
struct MountSource: Equatable {
    enum Meaning: Equatable {
        case share(KnownShare)
        case link(String)
    }

    let meaning: Meaning
    /// What the kernel's table is to show: never a link.
    let shown: String

    /// - Parameter shares: those this device has.
    init(_ word: String, shares: [KnownShare], in directory: String) throws(CommandFailure) {
        if word.lowercased().hasPrefix(InviteLink.scheme) {
            meaning = try Self.meaning(ofLink: word, shares)
            shown = Self.anonymous
            return
        }
        guard word.contains("/") else {
            meaning = .share(try .named(word, among: shares))
            shown = word
            return
        }
        shown = word
        let path = PathText.resolved(word, in: directory)
        if let share = shares.first(where: { $0.mountPoint == path }) {
            meaning = .share(share)
        } else {
            meaning = try Self.meaning(ofLink: Self.link(inFile: path), shares)
        }
    }

    private static let anonymous = "holdfast"

    /// The share that was joined with it before, else the link.
    private static func meaning(ofLink text: String, _ shares: [KnownShare])
        throws(CommandFailure) -> Meaning
    {
        do {
            let link = try InviteLink(parsing: text)
            let id = ShareKeys(shareKey: link.shareKey).shareID.hex
            // Of several devices in it the one that joined last.
            let known = shares.filter { $0.shareID == id }
            return known.max { ($0.id.utf8.count, $0.id) < ($1.id.utf8.count, $1.id) }
                .map { .share($0) } ?? .link(text)
        } catch {
            throw CommandFailure(.wrongLink, "\(error)")
        }
    }

    private static func link(inFile path: String) throws(CommandFailure) -> String {
        let shown = EscapedText.quoted(path)
        // The path is a terminated copy for the time of the call; a fifo must not block.
        let opened = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard opened >= 0 else {
            throw CommandFailure(
                errno == ENOENT ? .notFound : .denied,
                "\(shown) is neither where a share of this device is mounted nor a file with a "
                    + "link: \(systemText(errno))")
        }
        defer { close(opened) }
        var status = stat()
        // An open descriptor and a local.
        guard unsafe fstat(opened, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw CommandFailure(
                .notFound,
                "\(shown) is neither where a share of this device is mounted nor a file with a "
                    + "link: holdfast status lists the shares")
        }
        guard status.st_mode & 0o077 == 0, status.st_uid == geteuid() || geteuid() == 0 else {
            throw CommandFailure(
                .denied,
                "others can read the link in \(shown), which is the key of the share: "
                    + "run chmod 600 on it, as its owner")
        }
        let bytes = try hosted { () throws(HostError) in
            try readWhole(opened, shown, limitBytes: linkBytesMax)
        }
        let lines = bytes.split(whereSeparator: { $0 == UInt8(ascii: "\n") })
        return String(decoding: lines.first ?? [], as: UTF8.self)
    }

    private static let linkBytesMax = 16 << 10
}
