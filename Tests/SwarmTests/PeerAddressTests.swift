import Swarm
import Testing

@Suite struct PeerAddressTests {
    @Test(arguments: ["127.0.0.1:4711", "[::1]:1", "[fe80::1]:65535", "my-host.example:0"])
    func `an address reads back as it is written`(text: String) throws {
        let address = try #require(PeerAddress(text))
        #expect(address.description == text)
    }

    @Test(arguments: [
        "", ":", "host", "host:", ":80", "host:65536", "host:-1", "host:+1", "host: 1", "a b:1",
        "::1:80", "[::1]", "[::1]80", "[]:80", "[host]:80", "-o:80", "h\u{1b}:80", "host:8 0",
        "https://host:80", String(repeating: "a", count: 300) + ":80",
    ])
    func `what is no address is refused`(text: String) {
        #expect(PeerAddress(text) == nil)
    }
}
