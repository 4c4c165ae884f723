import Glibc

/// The environment as a dictionary. Read once, at the start, before there are other threads.
enum ProcessEnvironment {
    static var all: [String: String] {
        var result: [String: String] = [:]
        var next = unsafe environ
        // An array of terminated strings that ends with a null; nobody changes it meanwhile.
        while let text = unsafe next.pointee {
            let parts = unsafe String(cString: text).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
            unsafe next += 1
        }
        // mount(8) clears it.
        if result["HOME"] == nil, let home = homeOfUser { result["HOME"] = home }
        return result
    }

    /// As the table of users has it.
    private static var homeOfUser: String? {
        // The entry is glibc's until the next call; its text is copied here. No other thread runs.
        guard let entry = unsafe getpwuid(geteuid()), let home = unsafe entry.pointee.pw_dir else {
            return nil
        }
        return unsafe String(cString: home)
    }
}
