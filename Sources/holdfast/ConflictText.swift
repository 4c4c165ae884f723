import Host

/// What `conflicts` and the file `about` print for people. Names come from other devices: all are escaped.
enum ConflictText {
    static func list(_ conflicts: [ConflictReport]) -> String {
        conflicts.map { EscapedText.quoted($0.path) + "\n" + table($0) }.joined(separator: "\n")
    }

    private static func table(_ conflict: ConflictReport) -> String {
        let rows = conflict.versions.map { version in
            [
                "  " + (version.shown ? "shown" : "other"), version.id,
                EscapedText.escaped(version.device) + (version.own ? " (this device)" : ""),
                EscapedText.escaped(version.time), what(version), place(version),
            ]
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = zip(row, widths).map { cell, width in
                cell + String(repeating: " ", count: width - cell.count)
            }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    private static func what(_ version: ConflictReport.Version) -> String {
        version.kind == "file" ? StatusText.size(version.size) : version.kind
    }

    private static func place(_ version: ConflictReport.Version) -> String {
        if version.shown { return "" }
        if let path = version.path { return EscapedText.quoted(path) }
        return version.file.map { "only in \(EscapedText.quoted($0))" } ?? "hidden"
    }

    static func about(_ conflict: ConflictReport) -> String {
        let head =
            switch conflict.kind {
            case "versions":
                "was written to by devices that had not seen each other's versions"
            case "reserved": "is a name that the mount keeps for its own folder"
            default: "is a name that several things came to have"
            }
        let path = EscapedText.quoted(conflict.path)
        var lines = ["\(path) \(head).", ""]
        for version in conflict.versions {
            let file = version.file.flatMap { $0.split(separator: "/").last.map(String.init) }
            lines += [
                "\(version.id), by \(EscapedText.escaped(version.device))"
                    + (version.own ? " (this device)" : "") + ", \(version.time), "
                    + what(version),
                "  " + (version.shown ? "has the name: " : "lost the name: ") + version.words,
            ]
            if !version.shown {
                lines.append(
                    "  "
                        + (version.path.map { "shows as \(EscapedText.quoted($0))" }
                            ?? "does not show: a second name would do harm there"))
            }
            if let file { lines.append("  read it here: \(EscapedText.quoted(file))") }
            if let base = version.base?.split(separator: "/").last.map(String.init) {
                lines.append("  what both come from: \(EscapedText.quoted(base))")
            }
            lines.append("")
        }
        lines += [
            "To settle it for all devices:",
            "  holdfast resolve PATH --keep ours|theirs|both|VERSION",
            "  holdfast resolve PATH --tool COMMAND",
        ]
        return lines.joined(separator: "\n") + "\n"
    }
}
