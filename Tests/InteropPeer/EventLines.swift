import Glibc

/// One line of JSON for each thing that happened, on standard output.
enum EventLines {
    enum Value {
        case text(String), number(Double), list([String])

        var json: String {
            switch self {
            case .text(let text): "\"\(text)\""
            case .number(let number):
                number == number.rounded() ? "\(Int(number))" : "\(number)"
            case .list(let words): "[" + words.map { "\"\($0)\"" }.joined(separator: ",") + "]"
            }
        }
    }

    /// The values hold nothing that JSON would want escaped: keys, numbers, words of ours.
    static func write(_ event: String, _ values: (String, Value)...) {
        let fields = values.map { ",\"\($0.0)\":\($0.1.json)" }.joined()
        print("{\"event\":\"\(event)\"\(fields)}")
        fflush(nil)
    }
}
