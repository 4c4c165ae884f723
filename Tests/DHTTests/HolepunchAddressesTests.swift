import Testing
import Wire

@testable import DHT

struct HolepunchAddressesTests {
    private func address(_ text: String) throws -> NetworkAddress {
        try #require(NetworkAddress(text))
    }

    private func endpoints(_ texts: [String]) throws -> [NetworkEndpoint] {
        try texts.map { try NetworkEndpoint(address: address($0), port: 1) }
    }

    @Test(arguments: [
        "10.0.0.0", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
        "169.254.1.1", "172.16.0.0", "172.31.255.255", "192.168.0.1",
    ])
    func `private networks are known`(_ text: String) throws {
        let address = try address(text)
        #expect(address.isPrivate && address.isBogon && !address.isReserved)
    }

    @Test(arguments: [
        "0.1.2.3", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
        "203.0.113.9", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    ])
    func `reserved addresses are known`(_ text: String) throws {
        let address = try address(text)
        #expect(address.isReserved && address.isBogon && !address.isPrivate)
    }

    @Test(arguments: [
        "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
        "192.0.1.1", "192.167.1.1", "198.17.0.1", "198.20.0.1", "223.255.255.255", "1.2.3.4",
    ])
    func `other addresses are public`(_ text: String) throws {
        #expect(try !address(text).isBogon)
    }

    @Test(
        arguments: [
            (["192.168.1.5"], ["10.0.0.1", "192.168.2.1", "192.168.1.9"], "192.168.1.9"),
            (["192.168.1.5"], ["192.1.1.1", "192.168.2.1"], "192.168.2.1"),
            (["192.168.1.5"], ["192.1.1.1", "10.0.0.1"], "192.1.1.1"),
            (["192.168.1.5"], ["10.0.0.1"], nil), (["192.168.1.5"], [], nil),
            ([], ["10.0.0.1"], nil),
            (["172.17.0.1", "10.0.0.2"], ["10.0.0.7", "172.17.9.9"], "10.0.0.7"),
            (["10.0.0.2"], ["10.1.0.2", "10.2.0.2"], "10.1.0.2"),
        ] as [([String], [String], String?)])
    func `the address that shares most bytes is on our network`(
        _ own: [String], _ theirs: [String], _ best: String?
    ) throws {
        let found = NetworkEndpoint.onSameNetwork(
            own: try endpoints(own), theirs: try endpoints(theirs))
        #expect(try found?.address == best.map(address))
    }
}
