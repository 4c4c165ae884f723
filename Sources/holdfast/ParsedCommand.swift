import Swarm

/// A command line that was understood: every value has been checked against the table.
struct ParsedCommand: Equatable {
    let name: CommandName
    /// In the table's order; fewer if optional ones were left out.
    var arguments: [String] = []
    /// By option name; several values for repeatable ones only.
    var values: [String: [String]] = [:]
    var flags: Set<String> = []
    var wantsHelp = false

    func value(_ option: String) -> String? { values[option]?.last }
    func isSet(_ flag: String) -> Bool { flags.contains(flag) }
    func argument(_ index: Int) -> String? { index < arguments.count ? arguments[index] : nil }

    func addresses(_ option: String) -> [PeerAddress] {
        values[option, default: []].compactMap { PeerAddress($0) }
    }
}

/// What the whole command line asks for.
enum Invocation: Equatable {
    case run(ParsedCommand)
    case overview
    case version
}
