import Base
import Crypto
import FileTree
import Hypercore
import Wire

/// The key pair this device writes with once its first log is no longer its alone, and the word of the
/// one before that it is the same device.
struct OwnSuccession: Equatable, Sendable {
    var seed: Bytes32
    /// How many logs this device has had in the share before.
    var generation: UInt8
    var succession: Operation.Succession

    /// Seed (32), generation (1), predecessor (32), signature (64).
    var encoded: [UInt8] {
        var writer = WireWriter()
        writer.writeBytes32(seed)
        writer.writeUInt8(generation)
        writer.writeBytes32(succession.predecessor)
        writer.writeRaw(succession.signature)
        return writer.bytes
    }

    init(seed: Bytes32, generation: UInt8, succession: Operation.Succession) {
        self.seed = seed
        self.generation = generation
        self.succession = succession
    }

    init(decoding bytes: [UInt8]) throws(StorageError) {
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            seed = try reader.readBytes32()
            generation = try reader.readUInt8()
            succession = Operation.Succession(
                predecessor: try reader.readBytes32(),
                signature: try reader.readBytes(Operation.Succession.signatureSize))
        } catch {
            throw .corrupt(what: "the key of this device's log: \(error)")
        }
    }

    /// What the device is called from now on: two that have one name could not be told apart.
    func deviceName(_ name: String) -> String { "\(name) \(UInt(generation) + 1)" }
}

/// Going on under another log.
extension Engine {
    /// Begins a new log with a key pair of its own; what is written from now on goes there. The old
    /// log is read like any other's.
    mutating func beginSuccessor() throws(StorageError) {
        precondition(open == nil, "a block is open")
        // Its members are those of a log that no member knows yet.
        endPublishing()
        guard let seed = Bytes32(environment.randomBytes(Bytes32.count)) else { return }
        let next = KeyPair(seed: seed)
        let predecessor = writers.key(of: ownSlot)
        let namespace = keys.logNamespace(generation: 0)
        let key = Manifest(publicKey: next.publicKey, namespace: namespace).hash
        guard let slot = writers.insert(key) else {
            throw .corrupt(what: "the table of logs is full")
        }
        logs[slot] = try Log.create(
            storage: storage, slot: slot, keyPair: next, namespace: namespace,
            encryptionKey: keys.logEncryptionKey)
        let own = OwnSuccession(
            seed: seed, generation: (succession?.generation ?? 0) &+ 1,
            succession: Operation.Succession(
                predecessor: predecessor,
                signature: device.sign(
                    Operation.Succession.signable(
                        predecessor: predecessor, log: key, device: next.publicKey))))
        try storage.setValue(own.encoded, of: StoredValue.succession)
        succession = own
        device = next
        deviceName = own.deviceName(installationName)
        ownSlot = slot
        acknowledged = 0
        chances.holdBack()
        markDirty()
    }

    /// The logs of this device, this one or those before, that no member is known to have let in.
    var unheardOwnSlots: [WriterSlot] {
        succession == nil
            ? []
            : ownSlots.filter { !membership.isMember(log: writers.key(of: $0)) }
                .sorted { $0.rawValue < $1.rawValue }
    }

    /// Members have let own logs in. What those say of who is a member, and of whose log ends, counts from now on as it
    /// does for everybody, though their blocks were taken before: nobody else reads a log that is not a member's yet.
    ///
    /// - Parameter slots: those that were no members' before.
    /// - Returns: whether there are any.
    mutating func takeOwnWords(_ slots: [WriterSlot]) throws(StorageError) -> Bool {
        var areAny = false
        for slot in slots where membership.isMember(log: writers.key(of: slot)) {
            try takeOwnWord(slot)
            areAny = true
        }
        return areAny
    }

    private mutating func takeOwnWord(_ slot: WriterSlot) throws(StorageError) {
        let author = writers.key(of: slot)
        var codec = starts[slot] ?? BlockCodec(writer: slot)
        while codec.number < applied[slot] ?? 0 {
            let number = codec.number
            guard let bytes = try logs[slot]?.block(at: number),
                let block = try? codec.decode(bytes.span, writers: writers)
            else { break }
            for (index, operation) in block.operations.enumerated() {
                guard let operation, operation.isMembership else { continue }
                let id = OperationID(writer: slot, block: number, index: index)
                let isAllowed = membership.apply(
                    operation, stamp: Stamp(time: block.time, operation: id), author: author,
                    seen: operation.endsLog ? keyed(codec.clock) : [:])
                if !isAllowed { refused &+= 1 }
            }
        }
        (membershipChanged, membershipGrew) = (true, true)
        refreshBounds()
    }

    /// What members are told, for one of them to admit the new log.
    var successionRequest: ControlMessage.SuccessionRequest? {
        isAdmitted || !chances.isIntroduced ? nil : requestOfOwn
    }

    /// What a member is told that hears nothing of the own log though others have let that in: where a log had two
    /// histories they may be no members to it.
    func belatedRequest(for remote: RemoteView) -> ControlMessage.SuccessionRequest? {
        guard isAdmitted, !hasEnded, forks.contains(where: { $0.state == .settled }),
            let own = ownLog?.key, !remote.clock.isEmpty,
            !remote.clock.contains(where: { $0.0 == own })
        else { return nil }
        return requestOfOwn
    }

    private var requestOfOwn: ControlMessage.SuccessionRequest? {
        guard let succession, let log = ownLog else { return nil }
        return ControlMessage.SuccessionRequest(
            log: log.key, manifest: log.manifest?.encoded ?? [], device: deviceName,
            succession: succession.succession)
    }

    /// Writes down that a member's device goes on under another log.
    ///
    /// - Returns: nil if it is a member now, else why not.
    mutating func admit(_ request: ControlMessage.SuccessionRequest) throws(StorageError) -> String?
    {
        if membership.isMember(log: request.log) { return nil }
        guard isAdmitted, !hasEnded else { return "the device asked is not a member itself" }
        guard let predecessor = membership.member(log: request.succession.predecessor) else {
            return "the log that the device had before is not known here"
        }
        guard let manifest = try? Manifest(decoding: request.manifest),
            manifest.hash == request.log, manifest.signers.count == 1,
            manifest.signers[0].namespace == keys.logNamespace(generation: 0)
        else { return "the log is none of this share" }
        if let end = membership.end(of: request.succession.predecessor) {
            return "the device has been \(end.kind) and is no member any more"
        }
        let admission = Operation.Admit(
            device: manifest.signers[0].publicKey, log: request.log, role: predecessor.role,
            name: Array(request.device.utf8), succession: request.succession)
        guard membership.accepts(admission) else { return "the device's signature is wrong" }
        do {
            try author(.admit(admission))
        } catch {
            if case .storage(let error) = error { throw error }
            return "this device may not admit others"
        }
        membershipGrew = true
        return nil
    }
}
