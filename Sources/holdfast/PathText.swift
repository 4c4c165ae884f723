import Glibc

/// Paths as text: absolute, without `.`, `..`, doubled or trailing slashes.
enum PathText {
    static func absolute(_ path: String, in directory: String) -> String {
        var parts: [Substring] = []
        let whole = path.hasPrefix("/") ? path : "\(directory)/\(path)"
        for part in whole.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Absolute and with links resolved, as the kernel's table of mounts shows it. Of a path that
    /// is not there, or whose end does not answer, the folder it is in is resolved.
    static func resolved(_ path: String, in directory: String) -> String {
        let whole = path.hasPrefix("/") ? path : "\(directory)/\(path)"
        if let real = real(whole) { return real }
        let absolute = absolute(path, in: directory)
        guard let slash = absolute.lastIndex(of: "/"), absolute != "/",
            let parent = real(slash == absolute.startIndex ? "/" : String(absolute[..<slash]))
        else { return absolute }
        return (parent == "/" ? "" : parent) + absolute[slash...]
    }

    /// The last part; `share` for the root.
    static func lastName(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? "share"
    }

    /// What of `path` lies below `folder`, without a leading slash; nil if it lies elsewhere.
    static func part(of path: String, below folder: String) -> String? {
        if path == folder { return "" }
        return path.hasPrefix(folder + "/") ? String(path.dropFirst(folder.utf8.count + 1)) : nil
    }

    private static func real(_ path: String) -> String? {
        // The path is a terminated copy for the time of the call; the result is ours to free.
        guard let real = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }
}
