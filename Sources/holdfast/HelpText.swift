/// What `--help` prints, made from `CommandTable`.
enum HelpText {
    static let width = 80
    private static let indent = 24

    static func usage(of command: CommandSpecification) -> String {
        let arguments = command.arguments.map { $0.isRequired ? $0.name : "[\($0.name)]" }
        return (["usage: holdfast", command.name.rawValue] + arguments + ["[options]"])
            .joined(separator: " ")
    }

    static func overview() -> String {
        var lines = [
            "Holdfast mounts a folder that several devices share: each works on it with any",
            "program, on line or off, and all come to see the same.",
            "",
            "usage: holdfast COMMAND [arguments] [options]",
            "",
            "commands:",
        ]
        for command in CommandTable.commands {
            lines += entry(command.name.rawValue, command.summary, column: 13)
        }
        lines += [
            "",
            "holdfast COMMAND --help tells all about a command; holdfast --version, which",
            "version this is. Every option can also be set in the environment: --device-name",
            "as HOLDFAST_DEVICE_NAME and so on; --peer takes several, separated by commas.",
            "",
            "to begin:",
            "  holdfast create ~/Shared               on the first device; prints a link",
            "  holdfast join - ~/Shared               on the next; give it the link",
            "",
            "exit codes:",
        ]
        for code in ExitCode.allCases {
            lines += entry("\(code.rawValue)", code.meaning, column: 6)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    static func about(_ command: CommandSpecification) -> String {
        let summary = command.summary.prefix(1).uppercased() + command.summary.dropFirst() + "."
        var lines = [usage(of: command), ""] + wrapped(summary, width)
        for detail in command.details { lines += [""] + wrapped(detail, width) }
        if !command.arguments.isEmpty { lines += ["", "arguments:"] }
        for argument in command.arguments {
            lines += entry(argument.name, argument.help, column: indent)
        }
        lines += ["", "options:"]
        for option in command.options {
            let head = ["--\(option.name)", option.value.name].compactMap(\.self)
            var help = option.help
            help += " [\(option.environmentName)]"
            lines += entry(head.joined(separator: " "), help, column: indent)
        }
        lines += entry("--help", "show this", column: indent)
        return lines.joined(separator: "\n") + "\n"
    }

    /// A term and what it means, the meaning in a column of its own.
    private static func entry(_ term: String, _ meaning: String, column: Int) -> [String] {
        let lines = wrapped(meaning, width - column)
        let head = "  " + term
        let gap = String(repeating: " ", count: column)
        guard head.count < column - 1 else { return [head] + lines.map { gap + $0 } }
        let first = head + String(repeating: " ", count: column - head.count) + (lines.first ?? "")
        return [first] + lines.dropFirst().map { gap + $0 }
    }

    private static func wrapped(_ text: String, _ width: Int) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " \(word)"
        }
        return lines + [line]
    }
}
