import Base
import Foundation
import Wire

@testable import DHT

/// The cases of hyperdht.json that concern connections, as plain values.
enum ConnectVectors {
    struct Host: Decodable, Sendable {
        let host: String
        let port: UInt16
        var endpoint: NetworkEndpoint {
            NetworkEndpoint(address: NetworkAddress(host) ?? .v4(0), port: port)
        }
    }

    struct Bytes: Decodable, Sendable {
        let bytes: [UInt8]
        init(from decoder: any Decoder) throws {
            bytes = try [UInt8](hex: decoder.singleValueContainer().decode(String.self)) ?? []
        }
        var key: Bytes32 { Bytes32(bytes) ?? .zero }
    }

    struct Relay: Decodable, Sendable {
        let relayAddress: Host
        let peerAddress: Host
    }

    struct Holepunch: Decodable, Sendable {
        let id: UInt64
        let relays: [Relay]
    }

    struct Stream: Decodable, Sendable {
        let reusableSocket: Bool
        let id: UInt32
        let seq: UInt64
    }

    struct Wish: Decodable, Sendable {
        let publicKey: Bytes
        let token: Bytes
    }

    struct SecretStream: Decodable, Sendable {}

    /// Any of the payloads: fields of the others are absent.
    struct Fields: Decodable, Sendable {
        let version: UInt64?
        let error: UInt64?
        let firewall: UInt64?
        let holepunch: Holepunch?
        let addresses4: [Host]?
        let addresses6: [Host]?
        let udx: Stream?
        let secretStream: SecretStream?
        let relayThrough: Wish?
        let relayAddresses: [Host]?

        let round: UInt64?
        let connected: Bool?
        let punching: Bool?
        let addresses: [Host]?
        let remoteAddress: Host?
        let token: Bytes?
        let remoteToken: Bytes?

        let mode: UInt8?
        let id: UInt64?
        let noise: Bytes?
        let payload: PayloadField?
        let peerAddress: Host?
        let relayAddress: Host?

        let holepunchSecret: Bytes?
        let nonce: Bytes?
        let host: String?
        let localSecret: Bytes?
        let plain: Bytes?
        let bytes: Bytes?
    }

    /// `payload` is bytes in a message and fields in the sealing case.
    enum PayloadField: Decodable, Sendable {
        case bytes([UInt8])
        indirect case fields(Fields)

        init(from decoder: any Decoder) throws {
            if let bytes = try? Bytes(from: decoder) {
                self = .bytes(bytes.bytes)
            } else {
                self = .fields(try Fields(from: decoder))
            }
        }
    }

    struct NoiseMessage: Decodable, Sendable {
        let by: String
        let payload: Fields
        let plain: Bytes
        let noise: Bytes
    }

    struct Secrets: Decodable, Sendable {
        let isInitiator: Bool
        let holepunchSecret: Bytes
        let hash: Bytes
        let tx: Bytes
        let rx: Bytes
    }

    struct SealedPayload: Decodable, Sendable {
        let payload: Fields
        let plain: Bytes
        let encrypted: Bytes
    }

    struct Packet: Decodable, Sendable {
        let from: Host
        let to: Host
        let ttl: UInt8?
        let bytes: Bytes
    }

    struct Case: Decodable, Sendable {
        let name: String
        let codec: String?
        let `in`: Fields?
        let out: Fields?
        let bytes: Bytes?
        let decoded: Fields?
        let serverSeed: Bytes?
        let clientSeed: Bytes?
        let ephemeralSeedsInOrderOfUse: [Bytes]?
        let noiseMessages: [NoiseMessage]?
        let sessionSecrets: [Secrets]?
        let holepunchPayloads: [SealedPayload]?
    }

    /// A case of another kind is passed over.
    private struct Lenient: Decodable, Sendable {
        let value: Case?
        init(from decoder: any Decoder) throws { value = try? Case(from: decoder) }
    }

    static let cases: [Case] = {
        guard
            let url = Bundle.module.url(
                forResource: "hyperdht", withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url),
            let cases = try? JSONDecoder().decode([Lenient].self, from: data)
        else { return [] }
        return cases.compactMap(\.value)
    }()

    static func named(_ prefix: String) -> [Case] { cases.filter { $0.name.hasPrefix(prefix) } }
}

extension ConnectVectors.Fields {
    var noisePayload: NoisePayload {
        var payload = NoisePayload()
        payload.version = version ?? 1
        payload.error = ConnectErrorCode(rawValue: error ?? 0)
        payload.natKind = NATKind(wire: firewall ?? 0)
        payload.holepunch = holepunch.map {
            NoisePayload.Holepunch(
                id: $0.id,
                relays: $0.relays.map {
                    RelayPath(relay: $0.relayAddress.endpoint, server: $0.peerAddress.endpoint)
                })
        }
        payload.addresses = (addresses4 ?? []).map(\.endpoint)
        payload.addresses6 = (addresses6 ?? []).map(\.endpoint)
        payload.stream = udx.map {
            var stream = NoisePayload.Stream(id: $0.id)
            stream.isSocketReusable = $0.reusableSocket
            stream.sequence = $0.seq
            return stream
        }
        payload.secretStreamVersion = secretStream == nil ? nil : 1
        payload.relayThrough = relayThrough.map {
            NoisePayload.RelayThrough(publicKey: $0.publicKey.key, token: $0.token.key)
        }
        payload.relayAddresses = relayAddresses?.map(\.endpoint)
        return payload
    }

    var holepunchPayload: HolepunchPayload {
        var payload = HolepunchPayload()
        payload.error = ConnectErrorCode(rawValue: error ?? 0)
        payload.natKind = NATKind(wire: firewall ?? 0)
        payload.round = round ?? 0
        payload.isConnected = connected ?? false
        payload.isPunching = punching ?? false
        payload.addresses = addresses?.map(\.endpoint)
        payload.remoteAddress = remoteAddress?.endpoint
        payload.token = token?.key
        payload.remoteToken = remoteToken?.key
        return payload
    }
}
