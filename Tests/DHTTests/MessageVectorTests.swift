import Base
import Crypto
import DHT
import Testing
import Wire

/// The published messages, namespaces and signatures of hyperdht 6.33.
struct MessageVectorTests {
    static let all = VectorCase.all("hyperdht")

    private func coded(_ codec: String) -> [VectorCase] {
        Self.all.filter { $0.text("codec") == codec }
    }

    private func one(_ name: String) throws -> VectorCase {
        try #require(Self.all.first { $0.name == name })
    }

    private func record(_ vector: VectorCase) throws -> PeerRecord {
        try PeerRecord(
            publicKey: #require(vector.bytes32("publicKey")),
            relayAddresses: #require(vector.endpoints("relayAddresses")))
    }

    /// Both ways.
    private func check<Message: DHTMessage>(_ message: Message, _ vector: VectorCase) throws {
        let bytes = try #require(vector.bytes("bytes"))
        #expect(message.encoded() == bytes, "\(vector.name)")
        #expect(try Message(decoding: bytes) == message, "\(vector.name)")
        // What follows is for later versions.
        #expect(throws: Never.self) { try Message(decoding: bytes + [1]) }
        for count in bytes.indices { _ = try? Message(decoding: Array(bytes.prefix(count))) }
    }

    @Test func `numbers of commands and errors are those published`() throws {
        let commands: [String: DHTCommand] = [
            "PEER_HANDSHAKE": .peerHandshake, "PEER_HOLEPUNCH": .peerHolepunch,
            "FIND_PEER": .findPeer, "LOOKUP": .lookup, "ANNOUNCE": .announce,
            "UNANNOUNCE": .unannounce, "MUTABLE_PUT": .mutablePut, "MUTABLE_GET": .mutableGet,
            "IMMUTABLE_PUT": .immutablePut, "IMMUTABLE_GET": .immutableGet,
            "PLUGIN": .plugin,
        ]
        let published = try one("commands")["out"]
        #expect(published.fields.count == commands.count)
        for (name, command) in commands {
            #expect(published.number(name) == command.number)
            #expect(DHTCommand(isInternal: false, number: command.number) == command)
        }
        let errors = try one("error constants")["out"]
        #expect(errors.number("SEQ_REUSED") == DHTErrorCode.sequenceReused)
        #expect(errors.number("SEQ_TOO_LOW") == DHTErrorCode.sequenceTooLow)
    }

    @Test func `kinds of NATs have the published numbers`() throws {
        let published = try one("firewall constants")["out"]
        let kinds: [String: DHT.NATKind] = [
            "UNKNOWN": .unknown, "OPEN": .open, "CONSISTENT": .consistent, "RANDOM": .random,
        ]
        #expect(published.fields.count == kinds.count)
        for (name, kind) in kinds { #expect(published.number(name) == kind.rawValue) }
    }

    @Test func `what is signed of a mutable value is its published encoding, hashed`() throws {
        let vector = try one("mutableSignable: seq 5")
        let fields = vector["in"]
        let signed = try MutableValue.signedBytes(
            sequence: #require(fields.number("seq")), value: #require(fields.bytes("value")))
        let encoded = try #require(vector.bytes("bytes"))
        #expect(Array(signed.suffix(32)) == Blake2b.hash256(encoded).bytes)
    }

    @Test func `a topic made of a word is the published one`() throws {
        let vector = try one("topic from a string (common practice: blake2b-256)")
        let word = try #require(vector["in"].text("string"))
        #expect(Blake2b.hash256(Array(word.utf8)) == vector["out"].bytes32("topic"))
    }

    @Test func `namespaces are those published`() throws {
        let cases = Self.all.filter { $0.name.hasPrefix("namespace") }
        #expect(cases.count == 6)
        for vector in cases {
            let number = try #require(vector["in"].number("command"))
            let command = DHTCommand(isInternal: false, number: number)
            #expect(DHTNamespace.of(command) == vector["out"].bytes32("namespace"))
        }
    }

    @Test func `handshake and holepunch messages are those published`() throws {
        let handshakes = coded("handshake")
        #expect(handshakes.count == 8)
        for vector in handshakes {
            let fields = vector["in"]
            let message = try HandshakeMessage(
                mode: #require(fields.number("mode").flatMap { RelayMode(rawValue: UInt8($0)) }),
                noise: #require(fields.bytes("noise")), peerAddress: fields.endpoint("peerAddress"),
                relayAddress: fields.endpoint("relayAddress"))
            try check(message, vector)
        }
        let punches = coded("holepunch")
        #expect(punches.count == 5)
        for vector in punches {
            let fields = vector["in"]
            let message = try HolepunchMessage(
                mode: #require(fields.number("mode").flatMap { RelayMode(rawValue: UInt8($0)) }),
                id: #require(fields.number("id")), payload: #require(fields.bytes("payload")),
                peerAddress: fields.endpoint("peerAddress"))
            try check(message, vector)
        }
    }

    @Test func `records and lookup replies are those published`() throws {
        let peers = coded("peer")
        #expect(peers.count == 2)
        for vector in peers { try check(record(vector["in"]), vector) }
        let replies = coded("lookupRawReply")
        #expect(replies.count == 3)
        for vector in replies {
            let fields = vector["decoded"]
            let message = try LookupReply(
                peers: #require(fields.list("peers")).map(record),
                bump: #require(fields.number("bump")))
            #expect(try message.encoded() == #require(vector.bytes("bytes")))
            #expect(try LookupReply(decoding: #require(vector.bytes("bytes"))) == message)
        }
        // A list of peers alone is a reply of an older node: no bump.
        for vector in coded("peers") {
            let reply = try LookupReply(decoding: #require(vector.bytes("bytes")))
            let list = try #require(vector.list("decoded"))
            #expect(try reply.peers == list.map(record))
            #expect(reply.bump == 0)
        }
    }

    @Test func `announcements are those published`() throws {
        let cases = coded("announce")
        #expect(cases.count == 4)
        for vector in cases {
            let fields = vector["in"]
            let message = try AnnounceMessage(
                peer: fields.has("peer") ? record(fields["peer"]) : nil,
                refresh: fields.bytes32("refresh"), signature: fields.bytes("signature"),
                bump: #require(fields.number("bump")))
            try check(message, vector)
        }
    }

    @Test func `mutable values are those published`() throws {
        for vector in coded("mutablePutRequest") + coded("mutableGetResponse") {
            let fields = vector["in"]
            let content = try MutableValue(
                sequence: #require(fields.number("seq")), value: #require(fields.bytes("value")),
                signature: #require(fields.bytes("signature")))
            if let key = fields.bytes32("publicKey") {
                try check(MutablePutMessage(publicKey: key, content: content), vector)
            } else {
                try check(content, vector)
            }
        }
    }

    @Test func `requests for plugins are those published`() throws {
        let cases = coded("pluginRequest")
        #expect(cases.count == 2)
        for vector in cases {
            let fields = vector["in"]
            let message = try PluginMessage(
                plugin: #require(fields.text("plugin")),
                version: #require(fields.number("version")),
                command: #require(fields.number("command")), value: fields.bytes("value"))
            try check(message, vector)
        }
    }

    @Test func `signatures of announcements are those published`() throws {
        let cases = Self.all.filter { $0.name.contains("nounce signature") }
        #expect(cases.count == 6)
        for vector in cases {
            let (fields, out) = (vector["in"], vector["out"])
            let command: DHTCommand = vector.name.hasPrefix("un") ? .unannounce : .announce
            let keyPair = try KeyPair(seed: #require(fields.bytes32("seed")))
            let (target, node, token) = try (
                #require(fields.bytes32("target")), #require(fields.bytes32("nodeId")),
                #require(fields.bytes32("token"))
            )
            let peer = try record(fields["peer"])
            #expect(peer.encoded() == out.bytes("encodedPeer"))
            let refresh = fields.bytes32("refresh")
            let signed = AnnounceMessage.signedBytes(
                for: command, target: target, node: node, token: token, peer: peer,
                refresh: refresh)
            #expect(signed == out.bytes("signable"))
            let message = AnnounceMessage.signed(
                command, by: keyPair, target: target, node: node, token: token,
                relayAddresses: peer.relayAddresses, refresh: refresh)
            #expect(message.signature == out.bytes("signature"))
            #expect(message.encoded() == out.bytes("message"))
            #expect(message.isSigned(command, target: target, node: node, token: token))
            #expect(!message.isSigned(command, target: node, node: node, token: token))
        }
    }

    @Test func `signatures of mutable values are those published`() throws {
        let cases = Self.all.filter { $0.name.hasPrefix("mutable signature") }
        #expect(cases.count == 3)
        for vector in cases {
            let (fields, out) = (vector["in"], vector["out"])
            let keyPair = try KeyPair(seed: #require(fields.bytes32("seed")))
            let (sequence, value) = try (
                #require(fields.number("seq")), #require(fields.bytes("value"))
            )
            #expect(
                MutableValue.signedBytes(sequence: sequence, value: value)
                    == out.bytes("signable"))
            let content = MutableValue(sequence: sequence, value: value, signedBy: keyPair)
            #expect(content.signature == out.bytes("signature"))
            #expect(content.isSigned(by: keyPair.publicKey))
            #expect(Blake2b.hash256(keyPair.publicKey.bytes) == out.bytes32("target"))
            let put = MutablePutMessage(publicKey: keyPair.publicKey, content: content)
            #expect(put.encoded() == out.bytes("putRequest"))
        }
    }

    @Test func `targets are hashes of keys and of values`() throws {
        let key = try one("target of a key pair (findPeer / announce of a server)")
        #expect(
            try Blake2b.hash256(#require(key["in"].bytes("publicKey")))
                == key["out"].bytes32("target"))
        let value = try one("immutable target")
        #expect(
            try Blake2b.hash256(#require(value["in"].bytes("value")))
                == value["out"].bytes32("target"))
    }

    @Test func `captured announcements and puts carry good signatures`() throws {
        var checked = 0
        for capture in Self.all where capture.name.hasPrefix("capture") {
            for packet in capture.list("packets") ?? [] {
                let fields = packet["fields"]
                guard fields.text("kind") == "request", let value = fields.bytes("value"),
                    let target = fields.bytes32("target"), let to = packet.endpoint("to")
                else { continue }
                let command = DHTCommand(
                    isInternal: false, number: fields.number("command") ?? 99)
                switch command {
                case .announce, .unannounce:
                    let message = try AnnounceMessage(decoding: value)
                    let (node, token) = try (
                        #require(NodeID.of(to)), #require(fields.bytes32("token"))
                    )
                    #expect(message.isSigned(command, target: target, node: node, token: token))
                    #expect(message.encoded() == value)
                case .mutablePut:
                    let message = try MutablePutMessage(decoding: value)
                    #expect(message.content.isSigned(by: message.publicKey))
                    #expect(Blake2b.hash256(message.publicKey.bytes) == target)
                    #expect(message.encoded() == value)
                case .immutablePut:
                    #expect(Blake2b.hash256(value) == target)
                default: continue
                }
                checked += 1
            }
        }
        #expect(checked >= 12)
    }
}
