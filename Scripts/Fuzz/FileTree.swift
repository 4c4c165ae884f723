// modules: Base Wire Crypto TextMerge FileTree
import Base
import FileTree
import Wire

/// The input is blocks, each with a flag byte and its length in front: whole ones, operations alone
/// that get a good header, or choices of which well-formed operations are made, possibly with one byte
/// changed afterwards. What decodes is encoded and decoded again; then two devices that saw the logs in
/// different orders must agree.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var author = Author()
    author.write(Array(UnsafeBufferPointer(start: data, count: count)))
    do {
        let one = try view(of: author.logs, order: [0, 1, 2])
        let two = try view(of: author.logs, order: [2, 1, 0])
        precondition(one.digest == two.digest, "\(one.digest) and \(two.digest)")
        precondition(one.newestTime == two.newestTime)
    } catch {
        fatalError("memory does not fail: \(error)")
    }
    return 0
}

/// Writes three logs, all blocks of which decode.
private struct Author {
    var logs: [[[UInt8]]] = [[], [], []]
    private let table = WriterTable()
    private var codecs: [BlockCodec] = []
    private var newest: UInt64 = 1 << 20
    /// Operations to refer to, of all logs.
    private var known: [OperationID] = [.root]

    init() {
        codecs = (0..<3).map { BlockCodec(writer: table.insert(key($0)) ?? .none) }
    }

    mutating func write(_ script: [UInt8]) {
        var reader = WireReader(script.span)
        while let flags = try? reader.readUInt8(), let body = try? reader.readBuffer(max: 4096) {
            let log = Int(flags & 3) % 3
            let before = known.count
            let bytes = flags & 4 != 0 ? body : block(flags, body, by: codecs[log])
            guard let bytes, (try? codecs[log].decode(bytes.span, writers: table)) != nil else {
                known.removeLast(known.count - before)
                continue
            }
            logs[log].append(bytes)
        }
    }

    private mutating func block(_ flags: UInt8, _ body: [UInt8], by codec: BlockCodec) -> [UInt8]? {
        var codec = codec
        // A clock that has seen everything, or no more than the block before.
        var clock = codec.clock
        if flags & 8 == 0 { for other in codecs { clock[other.writer] = other.number } }
        clock[codec.writer] = codec.number
        newest += flags & 16 == 0 ? 1 : 1 << 30
        let time = HybridTime(rawValue: max(newest, codec.time.rawValue &+ 1))
        guard time > codec.time, codec.number < 1000 else { return nil }
        var block = Block(time: time, clock: clock, operations: [])
        guard flags & 32 == 0 else {
            return (try? codec.encode(block, writers: table)).map { $0 + body }
        }

        var choices = WireReader(body.span)
        while block.operations.count < 200, let kind = try? choices.readUInt8() {
            let visible = known.filter {
                clock.covers($0) || $0.writer == codec.writer && $0.block == codec.number
            }
            guard let operation = operation(kind, visible, &choices), operation.isWellFormed
            else { break }
            known.append(
                OperationID(
                    writer: codec.writer, block: codec.number, index: block.operations.count))
            block.operations.append(operation)
        }
        guard var bytes = try? codec.encode(block, writers: table) else {
            preconditionFailure("\(block) names what it has not seen")
        }
        if flags & 64 != 0, let place = try? choices.readUInt8() {
            bytes[Int(place) % bytes.count] ^= 1 << (flags >> 7 | place & 6)
        }
        return bytes
    }

    private func operation(
        _ kind: UInt8, _ visible: [OperationID], _ choices: inout WireReader
    ) -> Operation? {
        guard let first = try? choices.readUInt8(), let second = try? choices.readUInt8() else {
            return nil
        }
        // Mostly what is recent.
        let one = visible[visible.count - 1 - Int(first) % visible.count]
        let two = visible[visible.count - 1 - Int(second) % visible.count]
        let names = ["a", "A", "b", "a (conflict)", "a.txt", ".a.swp", "\u{e9}", "e\u{301}"]
        let name = Array(names[Int(kind >> 5)].utf8)
        let time = Timestamp(seconds: Int64(first) - 100, nanoseconds: UInt32(second) * 1000)
        switch kind & 15 {
        case 0, 1, 2:
            let kind = ObjectKind(rawValue: first % 3) ?? .file
            return .make(
                .init(
                    kind: kind, mode: UInt16(second), uid: 1, gid: 2, created: time,
                    target: kind == .symlink ? name : []))
        case 3, 4, 5: return .place(.init(.new(one), in: two, named: name))
        case 6, 7:
            return .place(.init(.existing(one, from: two), in: visible[0], named: name))
        case 8: return .place(.init(.existing(one, from: visible[0]), in: two, named: name))
        case 9: return .remove(.init(one, from: two, version: second & 1 == 0 ? nil : one))
        case 10, 11:
            let parents = first & 1 == 0 ? [] : first & 2 == 0 ? [two] : Array(Set([one, two]))
            return .write(
                .init(
                    object: one, parents: parents.sorted { $0.rawValue < $1.rawValue },
                    size: UInt64(second), modified: time, content: [second & 3]))
        case 12:
            return .setAttribute(
                .init(
                    object: one, mode: UInt16(second), uid: second & 1 == 0 ? nil : 7,
                    modified: second & 2 == 0 ? nil : time))
        case 13: return .setXattr(.init(object: one, name: name, value: [second]))
        case 14: return .removeXattr(.init(object: one, name: name))
        default:
            let bytes = Bytes32(repeating: second)
            switch first % 6 {
            case 0: return .retire(.init(device: bytes))
            case 1: return .revoke(.init(device: bytes, length: UInt64(second)))
            case 2: return .set(.init(key: name, value: [second]))
            case 3: return .checkpoint(.init(digest: bytes))
            case 4:
                return .invite(
                    .init(publicKey: bytes, role: .writer, expiresMilliseconds: 5, uses: 1))
            default: return .admit(.init(device: bytes, log: bytes, role: .owner, name: name))
            }
        }
    }
}

private func key(_ log: Int) -> Bytes32 { Bytes32(repeating: UInt8(log + 1)) }

private func view(of logs: [[[UInt8]]], order: [Int]) throws(StorageError) -> FileTree {
    let table = WriterTable()
    var writers = [WriterSlot](repeating: .none, count: logs.count)
    for log in order { writers[log] = table.insert(key(log)) ?? .none }
    var waiting = logs.indices.map { decode(logs[$0], of: writers[$0], table) }

    let tree = try FileTree(storage: MemoryTreeStorage(), writers: table)
    var numbers = [UInt64](repeating: 0, count: logs.count)
    var isMoving = true
    while isMoving {
        isMoving = false
        for log in order {
            while let block = waiting[log].first {
                tree.begin()
                let outcome = try tree.apply(block, from: writers[log], number: numbers[log])
                _ = try tree.finish()
                guard case .applied = outcome else { break }
                waiting[log].removeFirst()
                numbers[log] += 1
                isMoving = true
            }
        }
    }
    return tree
}

/// The blocks of one log up to the first that is refused.
private func decode(_ blocks: [[UInt8]], of writer: WriterSlot, _ table: WriterTable) -> [Block] {
    var codec = BlockCodec(writer: writer)
    var result: [Block] = []
    for bytes in blocks {
        let before = codec
        guard let block = try? codec.decode(bytes.span, writers: table) else { break }
        result.append(block)
        checkPayload(codec)
        // Only what is well-formed may be encoded.
        guard block.operations.allSatisfy({ $0 != nil }) else { continue }
        var encoder = before
        let again = try? encoder.encode(block, writers: table)
        let copy = again.flatMap { decoded($0, by: before, table) }
        precondition(copy == block, "\(block) came back as \(String(describing: copy))")
    }
    return result
}

private func decoded(_ bytes: [UInt8], by codec: BlockCodec, _ table: WriterTable) -> Block? {
    var codec = codec
    return try? codec.decode(bytes.span, writers: table)
}

private func checkPayload(_ codec: BlockCodec) {
    do {
        let restored = try BlockCodec(payload: codec.payload)
        precondition(restored == codec, "\(codec) came back as \(restored)")
    } catch {
        fatalError("\(error)")
    }
}
