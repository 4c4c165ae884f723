import FoundationEssentials
import Glibc

/// A folder of one test, with everything in it gone afterwards.
final class TemporaryFolder {
    let path: String

    init(longerBy extra: Int = 0) {
        var template = Array("/tmp/holdfast-test.XXXXXX".utf8CString)
        mkdtemp(&template)
        let base = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
        var path = base
        var rest = extra
        while rest > 0 {
            path += "/" + String(repeating: "d", count: min(rest, 100))
            mkdir(path, 0o700)
            rest -= 101
        }
        self.path = path
        root = base
    }

    private let root: String

    deinit {
        // What cannot be removed is left in /tmp.
        try? FileManager.default.removeItem(atPath: root)
    }

    func write(_ name: String, _ text: String) {
        let descriptor = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        _ = text.withCString { Glibc.write(descriptor, $0, strlen($0)) }
        close(descriptor)
    }
}
