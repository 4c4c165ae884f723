import Base
import Crypto
import Testing
import Wire

@testable import DHT

/// The published packets of dht-rpc 6.26 and the captured ones of hyperdht 6.33.
struct PacketVectorTests {
    static let rpc = VectorCase.all("dht-rpc")

    private func one(_ name: String) throws -> VectorCase {
        try #require(Self.rpc.first { $0.name == name })
    }

    @Test func `the vectors are there`() { #expect(Self.rpc.count == 27) }

    @Test func `node ids are those published`() throws {
        let cases = Self.rpc.filter { $0.name.hasPrefix("node id of") }
        #expect(cases.count == 4)
        for vector in cases {
            let endpoint = try #require(vector["in"].endpoint)
            var writer = WireWriter()
            writer.writeEndpointBytes(endpoint)
            #expect(writer.bytes == vector["out"].bytes("encoded"))
            #expect(NodeID.of(endpoint) == vector["out"].bytes32("id"))
        }
    }

    @Test func `a token is the keyed hash of the host`() throws {
        let vector = try one("round trip token")
        let secret = try #require(vector["in"].bytes32("secret"))
        let token = TokenIssuer.token(host: 0x7f00_0001, secret: secret)
        #expect(token == vector["out"].bytes32("token"))
    }

    @Test func `numbers of commands and errors are those published`() throws {
        let commands: [String: DHTCommand] = [
            "PING": .ping, "PING_NAT": .pingNAT, "FIND_NODE": .findNode, "DOWN_HINT": .downHint,
            "DELAYED_PING": .delayedPing,
        ]
        let published = try one("internal commands")["out"]
        #expect(published.fields.count == commands.count)
        for (name, command) in commands {
            #expect(published.number(name) == command.number)
            #expect(command.isInternal)
            #expect(DHTCommand(isInternal: true, number: command.number) == command)
        }
        let errors = try one("errors")["out"]
        #expect(errors.number("UNKNOWN_COMMAND") == DHTErrorCode.unknownCommand)
        #expect(errors.number("INVALID_TOKEN") == DHTErrorCode.invalidToken)
    }

    // MARK: Packets

    /// Every captured datagram, of both files, that is not a probe.
    static let packets: [VectorCase] =
        rpc.flatMap { [$0["request"], $0["response"]] }.filter { $0.has("bytes") }
        + VectorCase.all("hyperdht").flatMap { $0.list("packets") ?? [] }
        .filter { ["request", "response"].contains($0["fields"].text("kind")) }

    @Test func `captured packets are read and written again byte for byte`() throws {
        #expect(Self.packets.count > 150)
        for packet in Self.packets {
            let bytes = try #require(packet.bytes("bytes"))
            let fields = packet["fields"]
            let body = Array(bytes.dropFirst())
            if bytes.first == DHTPacket.requestByte {
                let request = try DHTPacket.Request(decoding: body)
                #expect(request.encoded() == bytes)
                #expect(UInt64(request.transaction) == fields.number("tid"))
                #expect(request.to == fields.endpoint("to"))
                #expect(request.id == fields.bytes32("id"))
                #expect(request.body.token == fields.bytes32("token"))
                #expect(request.body.command.number == fields.number("command"))
                #expect(request.body.command.isInternal == (fields.number("internal") == 1))
                #expect(request.body.target == fields.bytes32("target"))
                #expect(request.body.value == fields.bytes("value"))
            } else {
                let response = try DHTPacket.Response(decoding: body)
                #expect(response.encoded() == bytes)
                #expect(response.encodedSize == bytes.count)
                #expect(UInt64(response.transaction) == fields.number("tid"))
                #expect(response.to == fields.endpoint("to"))
                #expect(response.id == fields.bytes32("id"))
                #expect(response.token == fields.bytes32("token"))
                #expect(response.closerNodes == fields.endpoints("closerNodes") ?? [])
                #expect(response.error == fields.number("error"))
                #expect(response.value == fields.bytes("value"))
            }
        }
    }

    @Test func `ids in captured packets are those of their sources`() throws {
        var checked = 0
        for packet in Self.packets {
            guard let id = packet["fields"].bytes32("id") else { continue }
            #expect(try NodeID.of(#require(packet.endpoint("from"))) == id)
            checked += 1
        }
        #expect(checked > 50)
    }

    // MARK: Answers

    /// A node at the published address, whose table is empty.
    private func node(_ address: NetworkEndpoint) -> DHTNode {
        var effects = DHTEffects()
        var node = DHTNode(
            configuration: DHTConfiguration(
                bootstrap: [], mode: .persistent, isFirewalled: false, publicAddress: address,
                serverPort: address.port),
            seed: Bytes32(repeating: 1), now: .zero)
        node.start(now: .zero, into: &effects)
        return node
    }

    private static let exchanges = rpc.filter { $0.has("request") }

    @Test func `each published request gets the published answer`() throws {
        #expect(Self.exchanges.count == 15)
        for exchange in Self.exchanges {
            let request = exchange["request"]
            let (from, to) = try (
                #require(request.endpoint("from")), #require(request.endpoint("to"))
            )
            var node = node(to)
            var effects = DHTEffects()
            let datagram = try #require(request.bytes("bytes"))
            node.receive(datagram.span, from: from, on: .server, now: .zero, into: &effects)
            if request["fields"].text("commandName") == "DELAYED_PING" {
                #expect(effects.datagrams.isEmpty)
                #expect(node.deadline == .zero + .milliseconds(20))
                _ = node.advance(now: .zero + .milliseconds(20), into: &effects)
            }
            // The ping that shows whether a newcomer is at its address is a request of its own.
            let answers = effects.datagrams.entries.filter {
                effects.datagrams.bytes[$0.range.lowerBound] == DHTPacket.responseByte
            }
            guard exchange.has("response") else {
                #expect(answers.isEmpty, "\(exchange.name)")
                continue
            }
            let published = exchange["response"]
            let entry = try #require(answers.first, "\(exchange.name)")
            let bytes = Array(effects.datagrams.bytes[entry.range])
            #expect(entry.destination == published.endpoint("to"))
            #expect(entry.socket == .server)
            let answer = try DHTPacket.Response(decoding: Array(bytes.dropFirst()))
            var expected = try DHTPacket.Response(
                decoding: Array(#require(published.bytes("bytes")).dropFirst()))
            // The other nodes of that network are not here, and its secret is not ours.
            expected.closerNodes = []
            #expect((answer.token == nil) == (expected.token == nil), "\(exchange.name)")
            expected.token = answer.token
            #expect(answer == expected, "\(exchange.name)")
        }
    }

    @Test func `published datagrams to be ignored are ignored`() throws {
        let cases = Self.rpc.filter { $0.name.hasPrefix("ignored") }
        #expect(cases.count == 3)
        let address = NetworkEndpoint(address: .v4(0x7f00_0001), port: 45112)
        var node = node(address)
        var effects = DHTEffects()
        for vector in cases {
            let datagram = try #require(vector.bytes("bytes"))
            node.receive(
                datagram.span,
                from: NetworkEndpoint(address: .v4(0x7f00_0001), port: 33447), on: .server,
                now: .zero, into: &effects)
        }
        #expect(effects.datagrams.isEmpty)
    }
}
