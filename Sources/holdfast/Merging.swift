import Glibc
import Host

/// Merges the versions of a conflict with a tool of the user's, two at a time, in a folder of its own.
struct Merging {
    private let conflict: ConflictReport
    private let share: KnownShare
    private let tool: String
    private let environment: [String: String]
    private let folder: String
    /// What the temporary files end in, so that the tool knows what they are.
    private let suffix: String

    init(
        _ conflict: ConflictReport, share: KnownShare, tool: String,
        _ environment: [String: String]
    ) throws(CommandFailure) {
        guard conflict.versions.allSatisfy({ $0.kind == "file" && $0.file != nil }) else {
            throw CommandFailure(
                .conflicts, "only files can be merged: keep one of the versions, or both")
        }
        self.conflict = conflict
        self.share = share
        self.tool = tool
        self.environment = environment
        let name = PathText.lastName(of: conflict.path)
        let dot = name.lastIndex(of: ".") ?? name.endIndex
        suffix = dot == name.startIndex ? "" : String(name[dot...])
        var template = Array("\(environment["TMPDIR"] ?? "/tmp")/holdfast-merge-XXXXXX".utf8CString)
        // The array ends in a zero, and is changed in place.
        guard unsafe mkdtemp(&template) != nil else {
            throw CommandFailure(.general, "no temporary folder can be made: set TMPDIR")
        }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func removeFiles() {
        for name in ["base", "mine", "theirs", "result"] {
            // Terminated copies for the time of the call; a tool's own files keep the folder.
            unsafe _ = unlink(path(name))
        }
        unsafe _ = rmdir(folder)
    }

    private func path(_ name: String) -> String { "\(folder)/\(name)\(suffix)" }

    /// Runs the tool once for each version beyond the first.
    ///
    /// - Returns: the path of the result.
    func run() throws(CommandFailure) -> String {
        let mine =
            conflict.versions.first { $0.own } ?? conflict.versions.first { $0.shown }
            ?? conflict.versions[0]
        var result = try bytes(of: mine.file)
        for theirs in conflict.versions where theirs.id != mine.id {
            // What each comes from is told beside the one that is not shown.
            let base = theirs.base ?? mine.base
            let before = result
            try write(
                try base.map { (path) throws(CommandFailure) in try bytes(of: path) } ?? [], "base")
            try write(before, "mine")
            try write(try bytes(of: theirs.file), "theirs")
            try write(before, "result")
            try runTool()
            result = try read(path("result"))
            guard result != before else {
                throw CommandFailure(
                    .conflicts,
                    "the tool has not changed the result: nothing is settled (--keep keeps a version "
                        + "as it is)")
            }
        }
        return path("result")
    }

    private func runTool() throws(CommandFailure) {
        let files = ["BASE": "base", "MINE": "mine", "THEIRS": "theirs", "RESULT": "result"]
            .mapValues { path($0) }
        var variables = environment.merging(files) { $1 }
        for (twin, name) in [("LOCAL", "MINE"), ("REMOTE", "THEIRS"), ("MERGED", "RESULT")] {
            variables[twin] = variables[name]
        }
        let names = ["BASE", "MINE", "THEIRS", "RESULT", "LOCAL", "REMOTE", "MERGED"]
        let isNaming = names.contains { tool.contains("$\($0)") || tool.contains("${\($0)") }
        let command = isNaming ? tool : tool + #" "$BASE" "$MINE" "$THEIRS" "$RESULT""#
        let code = try hosted { () throws(HostError) in
            try ShellCommand.run(command, environment: variables)
        }
        guard code == 0 else {
            throw CommandFailure(
                .general, "the tool ended with \(code): nothing is settled")
        }
    }

    /// Of a file of the mount's own.
    private func bytes(of file: String?) throws(CommandFailure) -> [UInt8] {
        try read("\(share.mountPoint)/\(file ?? "")")
    }

    private func read(_ path: String) throws(CommandFailure) -> [UInt8] {
        try hosted { () throws(HostError) in
            try readWhole(path, limitBytes: Self.sizeMax)
        }
    }

    /// What is merged by hand is no larger.
    private static let sizeMax = 1 << 30

    private func write(_ bytes: [UInt8], _ name: String) throws(CommandFailure) {
        let path = path(name)
        // A terminated copy for the time of the call.
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else {
            throw CommandFailure(.system(code: errno, action: "making \(path)"))
        }
        defer { close(file) }
        var rest = bytes[...]
        while !rest.isEmpty {
            // The slice holds as many bytes as are said.
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.write(file, $0.baseAddress, $0.count)
            }
            guard count > 0 else {
                throw CommandFailure(.system(code: errno, action: "writing \(path)"))
            }
            rest = rest.dropFirst(count)
        }
    }
}
