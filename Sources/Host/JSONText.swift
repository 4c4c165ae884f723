import FoundationEssentials

/// JSON with sorted keys, so that equal values give equal text, and with nothing in it that a
/// terminal would act upon.
package enum JSONText {
    /// - Parameter isPretty: for people, on several lines; else one line.
    package static func encode(
        _ value: some Encodable, isPretty: Bool = false
    ) throws(HostError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting =
            isPretty
            ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
            : [.sortedKeys, .withoutEscapingSlashes]
        do {
            return EscapedText.json([UInt8](try encoder.encode(value)))
        } catch {
            throw .malformed("what was to be said")
        }
    }

    package static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8]
    ) throws(HostError) -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw .malformed("the answer")
        }
    }
}
