import Glibc

@testable import FuseMount

/// What inotify tells of one directory or file.
final class Watcher {
    private let queue: Int32
    private let mount: TestMount
    private var cookies: [UInt32: Int] = [:]

    private static let words: [(UInt32, String)] = [
        (UInt32(IN_CREATE), "create"), (UInt32(IN_MODIFY), "modify"),
        (UInt32(IN_ATTRIB), "attrib"), (UInt32(IN_CLOSE_WRITE), "close"),
        (UInt32(IN_MOVED_FROM), "from"), (UInt32(IN_MOVED_TO), "to"),
        (UInt32(IN_DELETE), "delete"), (UInt32(IN_DELETE_SELF), "delete self"),
        (UInt32(IN_MOVE_SELF), "move self"), (UInt32(IN_Q_OVERFLOW), "overflow"),
    ]

    init(_ paths: String..., in mount: TestMount) throws {
        self.mount = mount
        queue = try check(inotify_init1(Int32(IN_NONBLOCK)))
        let mask = Self.words.dropLast().reduce(0) { $0 | $1.0 }
        for path in paths { try check(inotify_add_watch(queue, path, mask)) }
    }

    deinit { close(queue) }

    /// Events as "create a", "create d/", "from a #1": of all that was done before.
    func events() -> [String] {
        var events: [String] = []
        while true {
            // The kernel tells of a call before that returns; those of other devices' changes are made
            // one after the other.
            while !mount.mount.awaitShown() {}
            let some = pending()
            if some.isEmpty { return events }
            events += some
        }
    }

    private func pending() -> [String] {
        var events: [String] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(queue, &buffer, buffer.count)
            guard count > 0 else { return events }
            var position = 0
            while position < count {
                buffer.withUnsafeBytes { bytes in
                    let mask = bytes.loadUnaligned(fromByteOffset: position + 4, as: UInt32.self)
                    let cookie = bytes.loadUnaligned(fromByteOffset: position + 8, as: UInt32.self)
                    let length = bytes.loadUnaligned(fromByteOffset: position + 12, as: UInt32.self)
                    let name = bytes[position + 16..<position + 16 + Int(length)].prefix { $0 != 0 }
                    position += 16 + Int(length)
                    guard let word = Self.words.first(where: { mask & $0.0 != 0 })?.1 else {
                        return
                    }
                    var text = word
                    if !name.isEmpty { text += " " + String(decoding: name, as: UTF8.self) }
                    if mask & UInt32(bitPattern: Int32(IN_ISDIR)) != 0 { text += "/" }
                    if cookie != 0 {
                        let number = cookies[cookie] ?? cookies.count + 1
                        cookies[cookie] = number
                        text += " #\(number)"
                    }
                    events.append(text)
                }
            }
        }
    }
}
