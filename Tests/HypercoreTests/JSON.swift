import Base
import Foundation

@testable import Hypercore

/// A JSON value, to read vector files with.
enum JSON: Decodable, Equatable {
    case null
    case bool(Bool)
    case number(Int64)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSON].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSON].self))
        }
    }

    subscript(key: String) -> JSON {
        if case .object(let fields) = self { fields[key] ?? .null } else { .null }
    }

    var isNull: Bool { self == .null }
    var text: String { if case .string(let value) = self { value } else { "" } }
    var flag: Bool { self == .bool(true) }
    var list: [JSON] { if case .array(let values) = self { values } else { [] } }
    var bytes: [UInt8] { [UInt8](hex: text) ?? [] }
    var bytes32: Bytes32 { Bytes32(bytes) ?? .zero }

    var number: UInt64 {
        if case .number(let value) = self { UInt64(clamping: value) } else { 0 }
    }

    /// The value, or nil for null.
    func map<Value>(_ transform: (JSON) -> Value) -> Value? { isNull ? nil : transform(self) }
}

/// The cases of the published vectors of hypercore 11.35.
let hypercoreVectors: [JSON] = {
    guard
        let url = Bundle.module.url(
            forResource: "hypercore", withExtension: "json", subdirectory: "Vectors"),
        let data = try? Data(contentsOf: url),
        let cases = try? JSONDecoder().decode([JSON].self, from: data)
    else { return [] }
    return cases
}()

// MARK: Values as the vectors write them

extension JSON {
    var manifest: Manifest {
        Manifest(
            version: self["version"].number, allowsPatch: self["allowPatch"].flag,
            quorum: self["quorum"].number,
            signers: self["signers"].list.map {
                .init(namespace: $0["namespace"].bytes32, publicKey: $0["publicKey"].bytes32)
            },
            prologue: self["prologue"].map {
                .init(hash: $0["hash"].bytes32, length: $0["length"].number)
            },
            linked: self["linked"].map { $0.list.map(\.bytes32) },
            userData: self["userData"].map(\.bytes))
    }

    var node: TreeNode {
        TreeNode(
            index: self["index"].number, size: self["size"].number, hash: self["hash"].bytes32)
    }

    var nodes: [TreeNode] { list.map(\.node) }

    var proof: Proof {
        Proof(
            fork: self["fork"].number,
            block: self["block"].map {
                .init(
                    index: $0["index"].number, bytes: $0["value"].bytes, nodes: $0["nodes"].nodes)
            },
            hash: self["hash"].map { .init(index: $0["index"].number, nodes: $0["nodes"].nodes) },
            seek: self["seek"].map { .init(bytes: $0["bytes"].number, nodes: $0["nodes"].nodes) },
            upgrade: self["upgrade"].map {
                .init(
                    start: $0["start"].number, length: $0["length"].number,
                    nodes: $0["nodes"].nodes, additionalNodes: $0["additionalNodes"].nodes,
                    signature: $0["signature"].bytes)
            },
            manifest: self["manifest"].map(\.manifest))
    }

    var sync: SyncMessage {
        SyncMessage(
            fork: self["fork"].number, length: self["length"].number,
            remoteLength: self["remoteLength"].number, canUpgrade: self["canUpgrade"].flag,
            uploading: self["uploading"].flag, downloading: self["downloading"].flag,
            hasManifest: self["hasManifest"].flag, allowPush: self["allowPush"].flag)
    }

    /// - Parameter id: for the proof cases, which leave it out.
    func request(id: UInt64? = nil) -> RequestMessage {
        RequestMessage(
            id: id ?? self["id"].number, fork: self["fork"].number,
            block: self["block"].map {
                .init(index: $0["index"].number, nodes: $0["nodes"].number)
            },
            hash: self["hash"].map { .init(index: $0["index"].number, nodes: $0["nodes"].number) },
            seek: self["seek"].map {
                .init(bytes: $0["bytes"].number, padding: $0["padding"].number)
            },
            upgrade: self["upgrade"].map {
                .init(start: $0["start"].number, length: $0["length"].number)
            },
            manifest: self["manifest"].flag, priority: self["priority"].number)
    }

    var data: DataMessage { DataMessage(request: self["request"].number, proof: proof) }

    var noData: NoDataMessage {
        NoDataMessage(request: self["request"].number, reason: self["reason"].number)
    }

    var want: WantMessage {
        WantMessage(
            start: self["start"].number, length: self["length"].number, any: self["any"].flag)
    }

    var bitfield: BitfieldMessage {
        let bytes = self["bitfield"].bytes
        let words = stride(from: 0, to: bytes.count, by: 4).map { start in
            (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) }
        }
        return BitfieldMessage(start: self["start"].number, words: words)
    }

    var range: RangeMessage {
        RangeMessage(
            drop: self["drop"].flag, start: self["start"].number, length: self["length"].number)
    }

    var extensionMessage: ExtensionMessage {
        ExtensionMessage(name: self["name"].text, payload: self["message"].bytes)
    }
}
