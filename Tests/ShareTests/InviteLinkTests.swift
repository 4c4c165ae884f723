import Base
import Testing

@testable import Share

@Suite struct InviteLinkTests {
    private let link = InviteLink(
        shareKey: Bytes32(repeating: 1), foundingLog: Bytes32(repeating: 2),
        inviteSeed: Bytes32(repeating: 3), name: "Família 📷",
        addressHints: ["127.0.0.1:4711", "[::1]:9"])

    @Test func `what is printed is parsed again`() throws {
        #expect(link.text.hasPrefix("holdfast:"))
        #expect(!link.text.contains(" "))
        #expect(try InviteLink(parsing: link.text) == link)
        #expect(try InviteLink(parsing: "  \(link.text.uppercased())\n") == link)
    }

    @Test func `a link cut anywhere says so`() {
        let text = link.text
        for length in "holdfast:".count..<text.count {
            #expect(throws: LinkError.damaged) {
                try InviteLink(parsing: String(text.prefix(length)))
            }
        }
    }

    @Test func `one changed letter is noticed`() {
        let text = Array(link.text)
        for index in "holdfast:".count..<text.count {
            var changed = text
            changed[index] = text[index] == "y" ? "b" : "y"
            #expect(throws: LinkError.self) { try InviteLink(parsing: String(changed)) }
        }
    }

    @Test(arguments: ["", "hello", "https://example.com", "holdfast", "HOLDFASTT:yyy"])
    func `another text is not a link`(text: String) {
        #expect(throws: LinkError.notALink) { try InviteLink(parsing: text) }
    }
}
