/// Why bytes from outside could not be decoded.
package enum WireError: Error, Equatable, Sendable {
    /// The bytes end before the value does.
    case truncated(needed: Int, remaining: Int)
    /// A number, length or count is above what this field may hold.
    case tooLarge(UInt64, limit: UInt64)
    /// The bytes cannot be what the field says; the text names the field or the rule.
    case invalid(String)
}

extension WireError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .truncated(let needed, let remaining):
            "cut short: \(needed) bytes needed, \(remaining) left"
        case .tooLarge(let value, let limit): "\(value) is above the limit of \(limit)"
        case .invalid(let what): "invalid \(what)"
        }
    }
}
