/// Rows of text in columns: the first to the left, the others to the right.
package struct TextTable: Sendable {
    private var rows: [[String]]

    package init(_ header: [String]) { rows = [header] }

    package mutating func append(_ row: [String]) { rows.append(row) }

    /// Ends with a line break.
    package var text: String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        var lines = rows.map { row in
            row.enumerated().map { column, cell in
                let space = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + space : space + cell
            }.joined(separator: "  ")
        }
        let rule = widths.map { String(repeating: "-", count: $0) }.joined(separator: "  ")
        lines.insert(rule, at: 1)
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Numbers as tables show them.
package enum Figure {
    /// With so many digits after the point.
    package static func decimal(_ value: Double, _ digits: Int = 1) -> String {
        guard value.isFinite else { return "–" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (abs(value) * scale).rounded()
        guard scaled < 1e15 else { return "–" }
        let whole = String(Int(scaled / scale))
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return sign + whole }
        let rest = String(Int(scaled) % Int(scale))
        return sign + whole + "." + String(repeating: "0", count: digits - rest.count) + rest
    }

    package static func percent(_ part: Int, of all: Int) -> String {
        all == 0 ? "–" : decimal(100 * Double(part) / Double(all)) + " %"
    }

    package static func milliseconds(_ value: Duration?) -> String {
        guard let value else { return "–" }
        return decimal(value / .milliseconds(1), 0) + " ms"
    }

    package static func seconds(_ value: Duration) -> String { decimal(value / .seconds(1)) + " s" }

    package static func kibibytes(_ value: Int) -> String {
        decimal(Double(value) / 1024) + " KiB"
    }

    package static func rank(_ value: Int?) -> String { value.map(String.init) ?? "–" }
}
