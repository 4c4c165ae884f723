import Base
import Foundation
import Testing

@testable import Crypto

/// The published values of hypercore-crypto 3.6, libsodium and z32.
struct PublishedVectorTests {
    struct Node: Decodable {
        let index: UInt64
        let size: UInt64
        let hash: String
    }

    /// Numbers of namespaces, or the ids themselves.
    enum Identifiers: Decodable {
        case count(UInt8)
        case list([UInt8])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let count = try? container.decode(UInt8.self) {
                self = .count(count)
            } else {
                self = .list(try container.decode([UInt8].self))
            }
        }

        var ids: [UInt8] {
            switch self {
            case .count(let count): Array(0..<count)
            case .list(let ids): ids
            }
        }
    }

    /// One string or several.
    enum Texts: Decodable {
        case one(String)
        case many([String])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .one(text)
            } else {
                self = .many(try container.decode([String].self))
            }
        }

        var bytes: [UInt8] {
            switch self {
            case .one(let text): [UInt8](hex: text) ?? []
            case .many(let texts): texts.flatMap { [UInt8](hex: $0) ?? [] }
            }
        }
    }

    struct Inputs: Decodable {
        let seed: String?
        let message: String?
        let publicKey: String?
        let data: Texts?
        let fill: UInt8?
        let length: Int?
        let a: Node?
        let b: Node?
        let roots: [Node]?
        let blocks: [String]?
        let name: String?
        let idsOrCount: Identifiers?
        let key: String?
        let outLength: Int?
    }

    struct Outputs: Decodable {
        let publicKey: String?
        let secretKey: String?
        let signature: String?
        let discoveryKey: String?
        let hash: String?
        let nodes: [Node]?
        let roots: [Node]?
        let treeHash: String?
        let namespaces: [String]?
        let text: String?
    }

    struct Case: Decodable, CustomTestStringConvertible {
        let name: String
        let op: String
        let `in`: Inputs
        let out: Outputs

        var testDescription: String { name }
    }

    static let cases: [Case] = {
        guard
            let url = Bundle.module.url(
                forResource: "crypto", withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url),
            let cases = try? JSONDecoder().decode([Case].self, from: data)
        else { return [] }
        return cases
    }()

    @Test func `the vectors are there`() { #expect(Self.cases.count == 59) }

    @Test(arguments: cases)
    func `the published value comes out`(vector: Case) throws {
        let (inputs, outputs) = (vector.in, vector.out)
        let seed = inputs.seed.flatMap { Bytes32(hex: $0) }
        let message = inputs.message.flatMap { [UInt8](hex: $0) }
        switch vector.op {
        case "keyPair":
            let pair = try KeyPair(seed: #require(seed))
            #expect(pair.publicKey.hex == outputs.publicKey)
            #expect(pair.seed.hex + pair.publicKey.hex == outputs.secretKey)
            #expect(pair.seed == seed)
        case "sign":
            let pair = try KeyPair(seed: #require(seed))
            var text = try #require(message)
            let signature = pair.sign(text)
            #expect(signature.hex == outputs.signature)
            #expect(verify(signature: signature, message: text, publicKey: pair.publicKey))
            text.append(0)
            #expect(!verify(signature: signature, message: text, publicKey: pair.publicKey))
        case "discoveryKey":
            let key = try #require(inputs.publicKey.flatMap { Bytes32(hex: $0) })
            let hash = Blake2b.hash256(key: key, Array("hypercore".utf8))
            #expect(hash.hex == outputs.discoveryKey)
        case "data":
            let block =
                inputs.data?.bytes
                ?? [UInt8](repeating: inputs.fill ?? 0, count: inputs.length ?? 0)
            #expect(leaf(block).hex == outputs.hash)
        case "parent":
            let (a, b) = try (tree(#require(inputs.a)), tree(#require(inputs.b)))
            #expect(parent(a, b).hash.hex == outputs.hash)
        case "tree":
            #expect(treeHash(try #require(inputs.roots).map(tree)).hex == outputs.hash)
        case "merkle":
            try checkMerkle(inputs, outputs)
        case "namespace":
            let name = try #require(inputs.name)
            let ids = try #require(inputs.idsOrCount).ids
            let isRaw = vector.name.contains("buffer")
            let raw = isRaw ? [UInt8](hex: name) ?? [] : Array(name.utf8)
            #expect(ids.map { namespace(raw, $0).hex } == outputs.namespaces)
            if !isRaw { #expect(ids.map { namespace(name, $0).hex } == outputs.namespaces) }
        case "blake2b":
            let key = inputs.key.flatMap { [UInt8](hex: $0) }
            try checkBlake2b(
                #require(message), key: key, size: inputs.outLength ?? 0, outputs.hash)
        case "hash":
            #expect(Blake2b.hash256(try #require(inputs.data).bytes).hex == outputs.hash)
        case "encryptionKeyPair":
            let pair = try EncryptionKeyPair(seed: #require(seed))
            #expect(pair.publicKey.hex == outputs.publicKey)
            #expect(pair.secretKey.hex == outputs.secretKey)
        case "z32":
            let data = try #require(inputs.data).bytes
            let text = try #require(outputs.text)
            #expect(ZBase32.encode(data) == text)
            #expect(ZBase32.decode(text) == data)
        default: Issue.record("unknown operation \(vector.op)")
        }
    }

    private func checkBlake2b(
        _ message: [UInt8], key: [UInt8]?, size: Int, _ expected: String?
    ) throws {
        if size == 64 {
            #expect(Blake2b.hash512(key: key ?? [], message.span).hex == expected)
            if key == nil { #expect(Blake2b.hash512(message).hex == expected) }
            return
        }
        var hasher: Blake2bHasher
        if let key {
            #expect(Blake2b.hash256(key: key, message).hex == expected)
            if let key = Bytes32(key) {
                #expect(Blake2b.hash256(key: key, message).hex == expected)
            }
            hasher = Blake2bHasher(key: key)
        } else {
            #expect(Blake2b.hash256(message).hex == expected)
            hasher = Blake2bHasher()
        }
        // In pieces, and by a copy made halfway.
        hasher.update(Array(message.prefix(2)))
        var copy = hasher
        hasher.update([1])
        copy.update([])
        copy.update(Array(message.dropFirst(2)))
        #expect(copy.finalize().hex == expected)
        #expect(copy.finalize().hex == expected)
        #expect(hasher.finalize() != copy.finalize())
    }

    // MARK: The tree hashes, from their definition

    private struct Tree {
        var index: UInt64
        var size: UInt64
        var hash: Bytes32
    }

    private func tree(_ node: Node) throws -> Tree {
        try Tree(index: node.index, size: node.size, hash: #require(Bytes32(hex: node.hash)))
    }

    private func bytes(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    private func leaf(_ block: [UInt8]) -> Bytes32 {
        Blake2b.hash256([0] + bytes(UInt64(block.count)) + block)
    }

    private func parent(_ a: Tree, _ b: Tree) -> Tree {
        let (left, right) = a.index < b.index ? (a, b) : (b, a)
        let size = left.size + right.size
        var hasher = Blake2bHasher()
        hasher.update([1] + bytes(size))
        hasher.update(left.hash)
        hasher.update(right.hash)
        return Tree(
            index: (left.index + right.index) / 2, size: size, hash: hasher.finalize())
    }

    private func treeHash(_ roots: [Tree]) -> Bytes32 {
        var hasher = Blake2bHasher()
        hasher.update([2])
        for root in roots {
            hasher.update(root.hash)
            hasher.update(bytes(root.index) + bytes(root.size))
        }
        return hasher.finalize()
    }

    private func checkMerkle(_ inputs: Inputs, _ outputs: Outputs) throws {
        let blocks = try #require(inputs.blocks).map { [UInt8](hex: $0) ?? [] }
        let leaves = blocks.enumerated().map {
            Tree(
                index: UInt64($0.offset * 2), size: UInt64($0.element.count), hash: leaf($0.element)
            )
        }
        let pairs = [parent(leaves[0], leaves[1]), parent(leaves[2], leaves[3])]
        let top = parent(pairs[0], pairs[1])
        let nodes = (leaves + pairs + [top]).sorted { $0.index < $1.index }
        let expected = try #require(outputs.nodes)
        #expect(nodes.map(\.hash.hex) == expected.map(\.hash))
        #expect(nodes.map(\.index) == expected.map(\.index))
        #expect(nodes.map(\.size) == expected.map(\.size))
        #expect(treeHash([top, leaves[4]]).hex == outputs.treeHash)
    }
}
