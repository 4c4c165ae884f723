import Base
import Host
import Swarm

/// Reads a command line, and the environment's twins of its options, against `CommandTable`.
struct CommandParser {
    let environment: [String: String]

    /// - Parameter words: without the program's name.
    func parse(_ words: [String]) throws(CommandFailure) -> Invocation {
        guard let first = words.first else {
            throw usage("no command given", "see holdfast help")
        }
        switch first {
        case "-h", "--help": return .overview
        case "-V", "--version": return .version
        default: break
        }
        guard !first.hasPrefix("-") else {
            throw usage("\(shown(first)) before a command", "begin with the command")
        }
        guard let name = CommandName(rawValue: first) else {
            let names = CommandName.allCases.map(\.rawValue)
            throw unknown("command", first, among: names, "see holdfast help")
        }
        let parsed = try parse(Array(words.dropFirst()), of: CommandTable.command(name))
        if name == .help, !parsed.wantsHelp { return try help(parsed) }
        return .run(parsed)
    }

    private func help(_ parsed: ParsedCommand) throws(CommandFailure) -> Invocation {
        guard let topic = parsed.argument(0) else { return .overview }
        guard let name = CommandName(rawValue: topic) else {
            let names = CommandName.allCases.map(\.rawValue)
            throw unknown("command", topic, among: names, "see holdfast help")
        }
        return .run(ParsedCommand(name: name, wantsHelp: true))
    }

    private func parse(
        _ words: [String], of command: CommandSpecification
    ) throws(CommandFailure) -> ParsedCommand {
        var parsed = ParsedCommand(name: command.name)
        var rest = words[...]
        var isOptionsEnd = false
        while let word = rest.popFirst() {
            if isOptionsEnd || word == "-" || !word.hasPrefix("-") {
                parsed.arguments.append(word)
            } else if word == "--" {
                isOptionsEnd = true
            } else if word == "-h" || word == "--help" {
                parsed.wantsHelp = true
            } else {
                try parseOption(word, &rest, of: command, into: &parsed)
            }
        }
        if parsed.wantsHelp { return ParsedCommand(name: command.name, wantsHelp: true) }
        try checkCount(parsed.arguments, of: command)
        try addEnvironment(of: command, to: &parsed)
        return parsed
    }

    private func parseOption(
        _ word: String, _ rest: inout ArraySlice<String>, of command: CommandSpecification,
        into parsed: inout ParsedCommand
    ) throws(CommandFailure) {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let dashed = String(parts[0])
        guard let option = command.options.first(where: { "--\($0.name)" == dashed }) else {
            throw unknown(
                "option", dashed, among: command.options.map { "--\($0.name)" },
                "see holdfast \(command.name.rawValue) --help")
        }
        let attached = parts.count > 1 ? String(parts[1]) : nil
        guard let valueName = option.value.name else {
            guard attached == nil else {
                throw usage("\(dashed) takes no value", "write it alone")
            }
            parsed.flags.insert(option.name)
            return
        }
        let value: String
        if let attached {
            value = attached
        } else if let next = rest.first, next == "-" || !next.hasPrefix("-") {
            value = next
            rest.removeFirst()
        } else {
            throw usage("\(dashed) needs a value", "write \(dashed) \(valueName)")
        }
        try check(value, of: option, from: dashed)
        guard option.isRepeatable || parsed.values[option.name] == nil else {
            throw usage("\(dashed) is given twice", "give it once")
        }
        parsed.values[option.name, default: []].append(value)
    }

    private func checkCount(
        _ arguments: [String], of command: CommandSpecification
    ) throws(CommandFailure) {
        let line = HelpText.usage(of: command)
        let required = command.arguments.filter(\.isRequired)
        if arguments.count < required.count {
            throw usage("\(required[arguments.count].name) is missing", line)
        }
        if arguments.count > command.arguments.count {
            throw usage("\(shown(arguments[command.arguments.count])) is one word too many", line)
        }
        if let empty = zip(command.arguments, arguments).first(where: { $0.1.isEmpty }) {
            throw usage("\(empty.0.name) is empty", line)
        }
    }

    /// What the command line does not say is taken from the environment.
    private func addEnvironment(
        of command: CommandSpecification, to parsed: inout ParsedCommand
    ) throws(CommandFailure) {
        for option in command.options where parsed.values[option.name] == nil {
            let name = option.environmentName
            guard let text = environment[name], !text.isEmpty else { continue }
            if option.value == .flag {
                if try isOn(text, name) { parsed.flags.insert(option.name) }
                continue
            }
            let values =
                option.isRepeatable
                ? text.split { $0 == "," || $0 == " " }.map(String.init) : [text]
            for value in values { try check(value, of: option, from: name) }
            parsed.values[option.name] = values
        }
    }

    private func isOn(_ text: String, _ name: String) throws(CommandFailure) -> Bool {
        switch text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default: throw usage("\(name) is \(shown(text))", "set it to 1 or 0")
        }
    }

    private func check(
        _ value: String, of option: OptionSpecification, from source: String
    ) throws(CommandFailure) {
        switch option.value {
        case .flag: break
        case .text:
            guard !value.isEmpty else { throw usage("\(source) is empty", "give it a value") }
            guard value.utf8.count <= Self.textBytesMax, !value.utf8.contains(0) else {
                throw usage("\(source) is too long", "use \(Self.textBytesMax) bytes at most")
            }
        case .choice(_, let choices):
            guard choices.contains(value) else {
                throw usage(
                    "\(source) cannot be \(shown(value))",
                    "use \(choices.dropLast().joined(separator: ", ")) or \(choices.last ?? "")")
            }
        case .address(_, let allowsAnyPort):
            guard let address = PeerAddress(value), allowsAnyPort || address.port != 0 else {
                throw usage(
                    "\(source) cannot be \(shown(value))",
                    "use HOST:PORT, as in 192.0.2.1:4711 or [2001:db8::1]:4711")
            }
        case .key:
            guard Bytes32(hex: value) != nil else {
                throw usage("\(source) cannot be \(shown(value))", "use 64 hexadecimal digits")
            }
        case .count(_, let range):
            guard let count = Int(value), range.contains(count) else {
                throw usage(
                    "\(source) cannot be \(shown(value))",
                    "use a number from \(range.lowerBound) to \(range.upperBound)")
            }
        }
    }

    private static let textBytesMax = 4096

    private func shown(_ word: String) -> String { EscapedText.quoted(String(word.prefix(200))) }

    private func usage(_ wrong: String, _ remedy: String) -> CommandFailure {
        CommandFailure(.usage, "\(wrong): \(remedy)")
    }

    private func unknown(
        _ kind: String, _ word: String, among names: [String], _ remedy: String
    ) -> CommandFailure {
        let remedy =
            Spelling.nearest(to: word, among: names).map { "did you mean \($0)?" } ?? remedy
        return usage("unknown \(kind) \(shown(word))", remedy)
    }
}
