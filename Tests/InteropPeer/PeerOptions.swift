import Base
import Wire

/// What a peer of an interoperability run is told: `COMMAND --name value ...`.
struct PeerOptions {
    struct Mistake: Error { let text: String }

    let command: String
    private let values: [String: String]

    init(_ arguments: [String]) throws(Mistake) {
        guard let command = arguments.first, arguments.count % 2 == 1 else {
            throw Mistake(text: "usage: interop-peer COMMAND [--name value]...")
        }
        self.command = command
        var values: [String: String] = [:]
        for index in stride(from: 1, to: arguments.count, by: 2) {
            guard arguments[index].hasPrefix("--") else {
                throw Mistake(text: "not an option: \(arguments[index])")
            }
            values[String(arguments[index].dropFirst(2))] = arguments[index + 1]
        }
        self.values = values
    }

    func number(_ name: String, else fallback: Int) -> Int {
        values[name].flatMap { Int($0) } ?? fallback
    }

    /// Nil if the option is not there.
    func numbers(_ name: String) -> [UInt64]? {
        values[name]?.split(separator: ",").compactMap { UInt64($0) }
    }

    func key(_ name: String) throws(Mistake) -> Bytes32 {
        guard let key = values[name].flatMap({ Bytes32(hex: $0) }) else {
            throw Mistake(text: "--\(name) needs 64 hexadecimal digits")
        }
        return key
    }

    /// Never empty: nothing here may ever ask the public nodes.
    var bootstrap: [NetworkEndpoint] {
        get throws(Mistake) {
            var nodes: [NetworkEndpoint] = []
            for word in (values["bootstrap"] ?? "").split(separator: ",") {
                let parts = word.split(separator: ":")
                guard parts.count == 2, let address = NetworkAddress(parts[0]),
                    let port = UInt16(parts[1])
                else { throw Mistake(text: "not ADDRESS:PORT: \(word)") }
                nodes.append(NetworkEndpoint(address: address, port: port))
            }
            guard !nodes.isEmpty else { throw Mistake(text: "--bootstrap is needed") }
            return nodes
        }
    }
}
