import Base
import Foundation

/// The cases of one vector file.
func vectorCases<Case: Decodable>(_ name: String, as type: Case.Type) -> [Case] {
    guard
        let url = Bundle.module.url(
            forResource: name, withExtension: "json", subdirectory: "Vectors"),
        let data = try? Data(contentsOf: url),
        let cases = try? JSONDecoder().decode([Case].self, from: data)
    else { return [] }
    return cases
}

/// Bytes written as hexadecimal digits.
struct Hex: Decodable, Equatable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let bytes = try [UInt8](hex: container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not hex")
        }
        self.bytes = bytes
    }

    var key: Bytes32 { Bytes32(bytes) ?? .zero }
}
