import Foundation
import Base

/// A JSON value as the vector files hold it.
indirect enum JSONValue: Decodable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let bool = try? container.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? container.decode(Double.self) {
            self = .number(number)
        } else if let text = try? container.decode(String.self) {
            self = .string(text)
        } else if let elements = try? container.decode([JSONValue].self) {
            self = .array(elements)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    struct Mismatch: Error {}

    func number() throws -> Double {
        guard case .number(let number) = self else { throw Mismatch() }
        return number
    }

    func text() throws -> String {
        guard case .string(let text) = self else { throw Mismatch() }
        return text
    }

    func bytes() throws -> [UInt8] {
        guard let bytes = try [UInt8](hex: text()) else { throw Mismatch() }
        return bytes
    }

    func elements() throws -> [JSONValue] {
        guard case .array(let elements) = self else { throw Mismatch() }
        return elements
    }

    func members() throws -> [String: JSONValue] {
        guard case .object(let members) = self else { throw Mismatch() }
        return members
    }
}
