// modules: Base Wire Crypto Protomux Hypercore
import Base
import Crypto
import Hypercore
import Wire

private let keyPair = KeyPair(seed: Bytes32(repeating: 1))
private let manifest = Manifest(publicKey: keyPair.publicKey)
private let handshakeHash = [UInt8](repeating: 7, count: LogReplication.handshakeHashSize)
private let blocks: [[UInt8]] = (0..<11).map { [UInt8](repeating: UInt8($0), count: $0 * 3) }

/// The first byte says what the rest is: a manifest, or what happens between a writer and a reader of
/// one log when one of them, or whoever carries their messages, is hostile.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard let kind = bytes.first else { return 0 }
    let rest = Array(bytes[1...])
    do {
        if kind == 0 {
            decodeManifest(rest)
        } else {
            var scene = try Scene()
            try scene.play(rest)
            try scene.check()
        }
    } catch {
        fatalError("memory does not fail: \(error)")
    }
    return 0
}

private func decodeManifest(_ bytes: [UInt8]) {
    guard let decoded = try? Manifest(decoding: bytes) else { return }
    let again = try? Manifest(decoding: decoded.encoded)
    precondition(again == decoded, "\(decoded)")
}

/// A writer with some blocks and a reader with none, and the messages on their way.
private struct Scene {
    var writer: LogReplication
    var reader: LogReplication
    var toReader: [(type: Int, payload: [UInt8])] = []
    var toWriter: [(type: Int, payload: [UInt8])] = []
    var effects: [LogReplication.Effect] = []
    var appended = blocks.count

    init() throws(StorageError) {
        let writerLog = try Log.create(
            storage: MemoryLogStorage(), slot: WriterSlot(rawValue: 1), keyPair: keyPair)
        _ = try writerLog.append(blocks)
        let readerLog = try Log(
            storage: MemoryLogStorage(), slot: WriterSlot(rawValue: 1), key: manifest.hash)
        writer = LogReplication(log: writerLog, handshakeHash: handshakeHash, isInitiator: true)
        reader = LogReplication(
            log: readerLog, handshakeHash: handshakeHash, isInitiator: false, followsForks: true)
        try writer.opened(remoteHandshake: reader.openHandshake, into: &effects)
        takeEffects(ofWriter: true)
        try reader.opened(remoteHandshake: writer.openHandshake, into: &effects)
        takeEffects(ofWriter: false)
    }

    mutating func takeEffects(ofWriter isWriter: Bool) {
        for case .send(let type, let payload) in effects {
            if isWriter {
                toReader.append((type, payload))
            } else {
                toWriter.append((type, payload))
            }
        }
        effects.removeAll()
        // A hostile side may make the other talk without end; what is not delivered is forgotten.
        if toReader.count > 200 { toReader.removeFirst(100) }
        if toWriter.count > 200 { toWriter.removeFirst(100) }
    }

    mutating func deliver(
        _ message: (type: Int, payload: [UInt8]), toWriter isWriter: Bool
    ) throws(StorageError) {
        if isWriter {
            try writer.receive(type: message.type, payload: message.payload.span, into: &effects)
        } else {
            try reader.receive(type: message.type, payload: message.payload.span, into: &effects)
        }
        takeEffects(ofWriter: isWriter)
    }

    /// Each step is a byte, with what it needs after it.
    mutating func play(_ script: [UInt8]) throws(StorageError) {
        var input = WireReader(script.span)
        var now = Instant.zero
        while let step = try? input.readUInt8() {
            let isWriter = step & 1 == 0
            switch step >> 1 & 7 {
            case 0, 1:
                try deliverNext(toWriter: isWriter, changing: nil)
            case 2:
                guard let place = try? input.readUInt16(), let value = try? input.readUInt8()
                else { return }
                try deliverNext(toWriter: isWriter, changing: (Int(place), value))
            case 3, 4:
                guard let type = try? input.readUInt8(),
                    let payload = try? input.readBuffer(max: 4096)
                else { return }
                try deliver((Int(type % 11), payload), toWriter: isWriter)
            case 5:
                now = now + .seconds(15)
                try writer.tick(now: now, into: &effects)
                takeEffects(ofWriter: true)
                try reader.tick(now: now, into: &effects)
                takeEffects(ofWriter: false)
            case 6:
                guard appended < 40 else { continue }
                _ = try writer.log.append([[UInt8(appended)]])
                appended += 1
                try writer.localChanged(into: &effects)
                takeEffects(ofWriter: true)
            default:
                for _ in 0..<50 {
                    try deliverNext(toWriter: true, changing: nil)
                    try deliverNext(toWriter: false, changing: nil)
                }
            }
        }
    }

    mutating func deliverNext(
        toWriter isWriter: Bool, changing change: (place: Int, value: UInt8)?
    ) throws(StorageError) {
        if isWriter ? toWriter.isEmpty : toReader.isEmpty { return }
        var message = isWriter ? toWriter.removeFirst() : toReader.removeFirst()
        if let change, !message.payload.isEmpty {
            message.payload[change.place % message.payload.count] = change.value
        }
        try deliver(message, toWriter: isWriter)
    }

    /// Whatever was said, the reader holds a true beginning of the writer's log, and the writer its own.
    func check() throws(StorageError) {
        let (source, copy) = (writer.log, reader.log)
        precondition(source.length == UInt64(appended) && source.contiguousLength == source.length)
        precondition(copy.length <= source.length, "\(copy.length) of \(source.length)")
        for index in 0..<source.length where copy.hasBlock(at: index) {
            let (theirs, ours) = try (copy.block(at: index), source.block(at: index))
            precondition(theirs == ours, "block \(index)")
        }
    }
}
