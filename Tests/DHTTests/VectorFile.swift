import Base
import Foundation
import Testing
import Wire

/// One case of a vector file: JSON whose fields differ from case to case. It is never changed.
struct VectorCase: @unchecked Sendable {
    let fields: [String: Any]

    static func all(_ file: String) -> [VectorCase] {
        guard
            let url = Bundle.module.url(
                forResource: file, withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url),
            let cases = try? JSONSerialization.jsonObject(with: data) as? [[String: Any]]
        else { return [] }
        return cases.map { VectorCase(fields: $0) }
    }

    static func named(_ prefix: String, in file: String) -> [VectorCase] {
        all(file).filter { $0.name.hasPrefix(prefix) }
    }

    var name: String { fields["name"] as? String ?? "" }

    subscript(key: String) -> VectorCase {
        VectorCase(fields: fields[key] as? [String: Any] ?? [:])
    }

    func has(_ key: String) -> Bool { fields[key] != nil && !(fields[key] is NSNull) }
    func text(_ key: String) -> String? { fields[key] as? String }
    func number(_ key: String) -> UInt64? { (fields[key] as? NSNumber)?.uint64Value }
    func bytes(_ key: String) -> [UInt8]? { text(key).flatMap { [UInt8](hex: $0) } }
    func bytes32(_ key: String) -> Bytes32? { text(key).flatMap { Bytes32(hex: $0) } }

    func list(_ key: String) -> [VectorCase]? {
        (fields[key] as? [[String: Any]])?.map { VectorCase(fields: $0) }
    }

    /// The case itself as `{ host, port }`.
    var endpoint: NetworkEndpoint? {
        guard let host = text("host"), let address = NetworkAddress(host),
            let port = number("port")
        else { return nil }
        return NetworkEndpoint(address: address, port: UInt16(clamping: port))
    }

    func endpoint(_ key: String) -> NetworkEndpoint? { self[key].endpoint }
    func endpoints(_ key: String) -> [NetworkEndpoint]? { list(key)?.compactMap(\.endpoint) }
}
