/// The commands there are.
enum CommandName: String, CaseIterable {
    case create, join, mount, unmount, invite, status, peers, revoke, retire, export, pause, resume,
        log
    case restore, retain
    case merging, conflicts, resolve, explain, check
    case dht, warm, doctor, help
}

/// One command, as parsing, help and completions need it.
struct CommandSpecification {
    let name: CommandName
    /// One line, without a full stop.
    let summary: String
    let arguments: [ArgumentSpecification]
    let options: [OptionSpecification]
    /// More for its help: full sentences, a paragraph each.
    var details: [String] = []
}

/// A word without a dash.
struct ArgumentSpecification {
    /// Upper case, as the help shows it.
    let name: String
    let isRequired: Bool
    let help: String
}

/// A word with two dashes, and its twin in the environment.
struct OptionSpecification {
    /// What stands after the option's name.
    enum Value: Equatable {
        /// Nothing: it is on or off.
        case flag
        case text(String)
        case choice(String, [String])
        /// `HOST:PORT`, checked when it is read.
        case address(String, allowsAnyPort: Bool)
        case count(String, ClosedRange<Int>)
        /// 64 hexadecimal digits.
        case key(String)

        /// Upper case, as the help shows it.
        var name: String? {
            switch self {
            case .flag: nil
            case .text(let name), .choice(let name, _), .address(let name, _), .count(let name, _),
                .key(let name):
                name
            }
        }
    }

    /// Without its dashes.
    let name: String
    let value: Value
    let help: String
    var isRepeatable = false

    /// `HOLDFAST_DEVICE_NAME` for `--device-name`. Repeated values are separated by commas there.
    var environmentName: String {
        "HOLDFAST_" + name.uppercased().replacing("-", with: "_")
    }
}
