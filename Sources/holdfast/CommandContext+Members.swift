import Host
import Share

// The commands that end a member's log.
extension CommandContext {
    func endMember() throws(CommandFailure) {
        let device = parsed.argument(0) ?? ""
        let share = try share(at: 1)
        let isRevocation = parsed.name == .revoke
        var request = ControlRequest(isRevocation ? .revoke : .retire)
        request.device = device
        let lines = try ask(share, request).response.lines ?? []
        for line in lines { console.writeLine(EscapedText.escaped(line)) }
        guard isRevocation else { return }
        console.writeLine(
            "every invite link of this share has ended: holdfast invite on this device gives a new one"
        )
        console.writeLine(
            "the device still has the share's key: what it must not read belongs in a new share")
    }
}
