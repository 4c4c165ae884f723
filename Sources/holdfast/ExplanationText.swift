import Base
import Host
import Share

/// What `explain` prints for people. Names come from other devices: all are escaped.
enum ExplanationText {
    static func text(_ report: ExplanationReport) -> String {
        var rows = [("made", cause(report.made))]
        for other in report.unitedWith { rows.append(("and by", cause(other))) }
        if let placed = report.placed { rows.append(("named", cause(placed))) }
        rows.append(("changed", cause(report.changed)))
        if report.names > 1, report.kind != "directory" {
            rows.append(("names", "\(report.names): it is one file"))
        }
        if !report.unitedWith.isEmpty {
            rows.append(("rule", "folders that several devices made under one name are one folder"))
        }
        if let rule = report.rule.flatMap(Explanation.ContentRule.init) {
            rows.append(("rule", words(rule, report)))
        }
        if let merging = report.merging { rows.append(("merging", EscapedText.escaped(merging))) }
        for head in report.heads {
            rows.append((head.state, self.head(head)))
            if !head.bases.isEmpty {
                let bases = head.bases.joined(separator: ", ")
                rows.append(
                    (
                        "",
                        head.state == Explanation.Head.State.shown.rawValue
                            ? "merged with what was written before it, on the base \(bases)"
                            : "comes, as the one shown does, from \(bases)"
                    ))
            }
        }
        for version in report.conflict?.versions ?? [] where report.conflict?.kind != "versions" {
            let place = version.path.map { EscapedText.quoted($0) } ?? "does not show"
            rows.append(
                (
                    version.shown ? "the name" : "another",
                    "\(version.id) by \(EscapedText.escaped(version.device)), \(place): "
                        + version.words
                ))
        }
        let path = report.path.isEmpty ? "the share's root" : EscapedText.escaped(report.path)
        return rows.reduce("\(path)\n") { text, row in
            text + "  " + row.0 + String(repeating: " ", count: max(1, 10 - row.0.count)) + row.1
                + "\n"
        }
    }

    private static func cause(_ cause: ExplanationReport.Cause) -> String {
        guard !cause.device.isEmpty else { return "with the share" }
        return "\(cause.operation) by \(EscapedText.escaped(cause.device)), \(cause.time)"
    }

    private static func head(_ head: ExplanationReport.Head) -> String {
        let parents = head.parents.isEmpty ? "none" : head.parents.joined(separator: ", ")
        let name = head.shownName.map { ", as \(EscapedText.quoted($0))" } ?? ""
        return "\(cause(head.version)), \(StatusText.size(head.size)), after \(parents)\(name)"
    }

    private static func words(
        _ rule: Explanation.ContentRule, _ report: ExplanationReport
    ) -> String {
        switch rule {
        case .neverWritten: "nothing was ever written to it"
        case .onlyHead: "one version follows all others: its bytes"
        case .equalHeads: "the heads have equal bytes: one version"
        case .othersClosed: "the other heads were removed by who had seen them"
        case .lastWritten: "the head that was written last is shown, the others are conflict copies"
        case .conflictCopy: "a head of a file of which another was written later"
        case .waiting: "the heads may merge: until that is known, one is shown as before"
        case .merged:
            "what the heads changed is merged"
                + (report.rulesVersion.map { " by version \($0) of the rules" } ?? "")
        }
    }
}

extension ExplanationReport {
    init(_ explanation: Explanation, _ conflict: ConflictReport?) {
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        self.init(
            path: text(Array(explanation.path.joined(separator: [0x2f]))),
            kind: "\(explanation.kind)", made: Cause(explanation.made),
            placed: explanation.placed.map { Cause($0) }, changed: Cause(explanation.changed),
            names: explanation.names, unitedWith: explanation.unitedWith.map { Cause($0) },
            rule: explanation.content?.rawValue, rulesVersion: explanation.rulesVersion,
            merging: explanation.merging,
            heads: explanation.heads.map { head in
                Head(
                    version: Cause(head.cause), size: head.size, parents: head.parents,
                    state: head.state.rawValue, shownName: head.shownName.map(text),
                    bases: head.bases)
            }, conflict: conflict)
    }
}

extension ExplanationReport.Cause {
    init(_ cause: Explanation.Cause) {
        self.init(operation: cause.operation, device: cause.device, time: cause.time.text)
    }
}
