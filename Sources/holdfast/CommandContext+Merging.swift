import Host
import Share

// The command about how texts merge.
extension CommandContext {
    func merging() throws(CommandFailure) {
        let share = try share()
        var request = ControlRequest(.merging)
        let wanted = parsed.value("rules")
        if let wanted {
            switch wanted {
            case "none": request.mergeRules = 0
            case "newest":
                guard let now = try ask(share, request).response.merging else { return }
                request.mergeRules = now.newest
            default:
                guard let rules = UInt64(wanted), rules < UInt64.max else {
                    throw CommandFailure(
                        .usage,
                        "\(EscapedText.quoted(wanted)) are no rules: write a number, newest or none"
                    )
                }
                request.mergeRules = rules
            }
        }
        guard let setting = try ask(share, request).response.merging else { return }
        console.writeLine(Self.text(of: setting))
        guard wanted != nil else { return }
        console.writeLine(
            setting.rules == 0
                ? "this holds for every member: what was merged shows as its versions, side by side, and"
                    + " what is saved from now on stays as it was saved"
                : "this holds for every member: what stands side by side and can be merged is merged now."
                    + " A device whose release does not know rules \(setting.rules) goes on showing every"
                    + " version until holdfast is updated there; its status says so")
    }

    private static func text(of setting: MergeSetting) -> String {
        if setting.rules == 0 {
            return "texts are not merged: what several devices changed shows as versions, side by"
                + " side"
        }
        guard setting.isKnown else {
            return "texts merge by rules that this release does not know: they are not merged on"
                + " this device until holdfast is updated"
        }
        return "texts merge by rules \(setting.rules)"
    }
}
