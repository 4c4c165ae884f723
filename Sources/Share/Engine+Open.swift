package import Base
import Chunks
package import Crypto
import FileTree
import Hypercore
import TextMerge
import Wire

/// What a share needs to be opened on this device, besides its storage.
package struct ShareIdentity: Sendable {
    package var keys: ShareKeys
    package var device: KeyPair
    package var deviceName: String

    package init(keys: ShareKeys, device: KeyPair, deviceName: String) {
        self.keys = keys
        self.device = device
        self.deviceName = deviceName
    }
}

/// How a share comes to this device.
package enum ShareOrigin: Sendable {
    /// It is new, and this device its owner.
    case found(name: String, inviteSeed: Bytes32)
    /// By a link; a member must admit this device.
    case join(foundingLog: Bytes32, inviteSeed: Bytes32)
    /// It is in the storage.
    case stored
    /// It is in the storage, and what can be made again from the logs may be damaged: all of it is
    /// dropped, for `rebuildView`.
    case damaged

    var isStored: Bool { if case .stored = self { true } else { false } }
    var isNew: Bool {
        switch self {
        case .found, .join: true
        case .stored, .damaged: false
        }
    }
}

extension Engine {
    init(
        _ identity: ShareIdentity, origin: ShareOrigin, storage: any ShareStorage,
        chunks: any ChunkStorage, environment: any ShareEnvironment, policy: CheckpointPolicy
    ) throws(StorageError) {
        checkpointPolicy = policy
        lastBlockAt = environment.now()
        compactionDeadline = environment.now()
        keys = identity.keys
        installationName = identity.deviceName
        let succession = try storage.value(StoredValue.succession).map {
            bytes throws(StorageError) in try OwnSuccession(decoding: bytes)
        }
        self.succession = succession
        device = succession.map { KeyPair(seed: $0.seed) } ?? identity.device
        deviceName = succession?.deviceName(identity.deviceName) ?? identity.deviceName
        hasHeardOthers = origin.isNew
        self.storage = storage
        self.chunks = chunks
        self.environment = environment

        try Self.expectOwnDevice(identity, storage)
        if case .damaged = origin {
            try storage.removeView()
            _ = try storage.removeDamagedStaged()
            try storage.setValue(nil, of: StoredValue.membership)
        }

        writers = WriterTable()
        for (index, key) in try storage.writers().enumerated() {
            guard writers.insert(key)?.rawValue == UInt16(clamping: index + 1) else {
                throw .corrupt(
                    what: "the table of logs names \(key) twice; keep a copy of the share's folder"
                        + " in the state, then leave the share and join it again")
            }
        }
        storedWriters = writers.count

        let manifest = Manifest(
            publicKey: device.publicKey,
            namespace: identity.keys.logNamespace(generation: 0))
        let ownKey = manifest.hash
        guard let slot = writers.insert(ownKey) else {
            throw .corrupt(what: "the table of logs is full")
        }
        ownSlot = slot

        let foundingLog: Bytes32
        switch origin {
        case .found(_, let seed):
            foundingLog = ownKey
            try storage.setValue(ownKey.bytes, of: StoredValue.foundingLog)
            try storage.setValue(seed.bytes, of: StoredValue.inviteSeed)
        case .join(let log, let seed):
            foundingLog = log
            try storage.setValue(log.bytes, of: StoredValue.foundingLog)
            try storage.setValue(seed.bytes, of: StoredValue.inviteSeed)
        case .stored, .damaged:
            guard let bytes = try storage.value(StoredValue.foundingLog),
                let key = Bytes32(bytes)
            else {
                throw .corrupt(what: "the share was never set up; create or join it again")
            }
            foundingLog = key
        }
        if let bytes = try storage.value(StoredValue.membership) {
            membership = try Membership(decoding: bytes, foundingLog: foundingLog)
        } else {
            membership = Membership(foundingLog: foundingLog)
        }
        settings = try SharedSettings(decoding: try storage.value(StoredValue.settings))
        refused = Self.decode(try storage.value(StoredValue.refused))
        acknowledged = Self.decode(try storage.value(StoredValue.acknowledged))

        var names: [WriterSlot: String] = [:]
        for key in membership.logs {
            guard let slot = writers.insert(key), let member = membership.member(log: key),
                !member.name.isEmpty
            else { continue }
            names[slot] = String(decoding: member.name, as: UTF8.self)
        }
        let wasStarting = try storage.value(StoredValue.starting) != nil
        // Where a checkpoint was being read, it is read anew.
        if wasStarting { try storage.removeView() }
        tree = try FileTree(
            storage: storage, writers: writers, deviceNames: names,
            settlesAfter: policy.graceMilliseconds)
        hybrid = HybridClock(newest: tree.newestTime)

        logs[slot] = try Log.create(
            storage: storage, slot: slot, keyPair: device,
            namespace: identity.keys.logNamespace(generation: 0),
            encryptionKey: identity.keys.logEncryptionKey)
        try loadStarts()
        try loadLimits()
        refreshBounds()
        membershipGrew = true
        _ = try openNewLogs()
        if slot != writers.slot(of: foundingLog), tree.clock.elements.isEmpty, base == nil,
            wasStarting || hasNothing
        {
            starting = Starting(deadline: environment.now() + Starting.Limits.patience)
        }
        forks = try LogFork.decode(try storage.value(StoredValue.forks))
        if let pendingFork { try openBranch(pendingFork) }
        checkpoints = try PublishedCheckpoint.decode(try storage.value(StoredValue.checkpoints))
        divergences = try Divergence.decode(try storage.value(StoredValue.divergences))
        try loadApplied()
        refreshBounds()
        try loadCompaction()
        markDirty()
        if case .found(let name, let seed) = origin { try found(name: name, inviteSeed: seed) }
        if let mergeNotice { notices.append(mergeNotice) }
        do {
            try commit()
        } catch .full where origin.isStored {
            // Nothing new is lost by going on: the commit is tried again.
        }
    }

    /// Another key pair would begin another log, and the one that is here would be a stranger's.
    private static func expectOwnDevice(_ identity: ShareIdentity, _ storage: any ShareStorage)
        throws(StorageError)
    {
        let key = Manifest(
            publicKey: identity.device.publicKey,
            namespace: identity.keys.logNamespace(generation: 0)
        ).hash
        guard let known = try storage.value(StoredValue.ownLog) else {
            return try storage.setValue(key.bytes, of: StoredValue.ownLog)
        }
        guard known == key.bytes else {
            throw .corrupt(
                what: "device.key is not the key that this device joined the share with: restore it"
                    + " from a backup, or leave the share and join it again")
        }
    }

    private mutating func loadApplied() throws(StorageError) {
        for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard let row = try storage.appliedLog(slot) else { continue }
            applied[slot] = row.blocks
            if !row.codecState.isEmpty { codecs[slot] = try BlockCodec(payload: row.codecState) }
        }
        // All of it was written together. What does not agree would end in a wrong log.
        for slot in logs.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            let blocks = applied[slot] ?? 0
            let codec = codecs[slot] ?? BlockCodec(writer: slot)
            guard tree.clock[slot] == blocks, codec.writer == slot, codec.number == blocks,
                codec.time <= tree.newestTime, tree.clock.covers(bounds.clamped(codec.clock)),
                codec.writers.allSatisfy({ Int($0.rawValue) < writers.count }),
                Set(codec.writers).count == codec.writers.count
            else {
                throw .corrupt(
                    what: "the view and log \(writers.key(of: slot)) do not agree:"
                        + " run `holdfast check --rebuild`")
            }
            let length = max(logs[slot]?.length ?? 0, starts[slot]?.number ?? 0)
            guard blocks <= length else {
                throw .corrupt(
                    what: "log \(writers.key(of: slot)) is shorter than the \(blocks) blocks that"
                        + " the view has of it: run `holdfast check --rebuild`")
            }
        }
    }

    /// The first block of a share: its owner, an invite, its name.
    private mutating func found(name: String, inviteSeed: Bytes32) throws(StorageError) {
        guard let log = ownLog, log.length == 0 else { return }
        let invite = KeyPair(seed: inviteSeed)
        do {
            try author(
                .admit(
                    .init(
                        device: device.publicKey, log: log.key, role: .owner,
                        name: Array(deviceName.utf8))))
            try author(
                .invite(
                    .init(
                        publicKey: invite.publicKey, role: .writer, expiresMilliseconds: 0,
                        uses: .max)))
            try author(.set(.init(key: Array("name".utf8), value: Array(name.utf8))))
            // Until something is made in it, nothing else would give the root a time.
            let now = environment.wallTime()
            try author(.setAttribute(.init(object: .root, modified: now, accessed: now)))
            try author(
                .set(
                    .init(
                        key: FileTree.mergeRulesSetting,
                        value: Array("\(MergeRules.version)".utf8))))
        } catch {
            guard case .storage(let error) = error else {
                throw .corrupt(what: "a new share's first block")
            }
            throw error
        }
        membershipGrew = true
        _ = try openNewLogs()
    }

    // MARK: Links and joining

    /// A link that lets another device in.
    func inviteLink(name: String, addressHints: [String]) throws(StorageError) -> InviteLink? {
        guard let seed = try storage.value(StoredValue.inviteSeed).flatMap({ Bytes32($0) }) else {
            return nil
        }
        // After a revocation links are given where it was written.
        if membership.hasKnownEndings, membership.invite(KeyPair(seed: seed).publicKey) == nil {
            return nil
        }
        return InviteLink(
            shareKey: keys.shareKey, foundingLog: membership.foundingLog, inviteSeed: seed,
            name: name, addressHints: addressHints)
    }

    /// This device's request to be admitted, bound to one connection.
    ///
    /// - Returns: nil without an invite; and for a device that goes on under another log: as long as nobody is to
    ///   hear of that, nobody is to let it in, and with an invite it would be none of those that it was.
    func joinRequest(handshakeHash: [UInt8]) throws(StorageError) -> ControlMessage.JoinRequest? {
        guard let log = ownLog, succession == nil,
            let seed = try storage.value(StoredValue.inviteSeed).flatMap({ Bytes32($0) })
        else { return nil }
        let invite = KeyPair(seed: seed)
        return ControlMessage.JoinRequest(
            log: log.key, manifest: log.manifest?.encoded ?? [], device: deviceName,
            inviteKey: invite.publicKey,
            signature: invite.sign(
                ControlMessage.signable(handshakeHash: handshakeHash, log: log.key)))
    }

    /// Whether it is time to let others in, and to show members what they lack of the own log. A state that was just
    /// opened may be a restored one, older than what the members have: whoever is let in before those can have said so,
    /// or reads what was written since, goes by a history of the log that is nobody else's (<doc:Forks>). Where no other
    /// member is known nobody is waited for, nor once all of them were heard.
    mutating func hasListened(now: Instant) -> Bool {
        guard !hasHeardOthers else { return true }
        let own = ownSlots
        let isEveryoneHeard = membership.logs.allSatisfy { log in
            if writers.slot(of: log).map(own.contains) ?? false { return true }
            if membership.hasSuccessor(log) || membership.end(of: log) != nil { return true }
            return membership.member(log: log).map { heard.contains($0.device) } ?? true
        }
        let listened = listened + (listeningSince.map { now - $0 } ?? .zero)
        hasHeardOthers = isEveryoneHeard || listened >= Limits.listeningTime
        return hasHeardOthers
    }

    /// Whether those who would join are answered now: a log that waits to be let in lets nobody in.
    mutating func answersJoins(now: Instant) -> Bool {
        hasListened(now: now) && (isAdmitted || hasEnded || !isAdmittedOrSucceeding)
    }

    /// All that a member's device has of the own log is here as well, as it has shown.
    ///
    /// - Returns: whether it was waited for.
    mutating func noteHeard(_ device: Bytes32) -> Bool {
        !hasHeardOthers && heard.insert(device).inserted
    }

    /// What others lack of the own log is shown to them from now on.
    mutating func endWithholding() {
        for id in replications.keys where id.slot == ownSlot { replications[id]?.showAll() }
    }

    /// Somebody who holds the share's key is connected, or nobody is: a computer may sleep meanwhile, and so hear nobody.
    ///
    /// - Returns: when to look next whether that was long enough.
    mutating func listen(isConnected: Bool, now: Instant) -> Instant? {
        guard isConnected else {
            listened += listeningSince.map { now - $0 } ?? .zero
            listeningSince = nil
            return nil
        }
        let since = listeningSince ?? now
        listeningSince = since
        return since + (Limits.listeningTime - listened)
    }

    /// Whether a device that is no member is shown nothing of the own log yet.
    mutating func isHeldBack(from device: Bytes32?, now: Instant) -> Bool {
        guard !hasListened(now: now) else { return false }
        return device.map { membership.member(device: $0) == nil } ?? true
    }

    /// Admits a device that shows a good invite.
    ///
    /// - Returns: nil if it is a member now, else why not, for the device to show.
    mutating func admit(
        _ request: ControlMessage.JoinRequest, device remote: Bytes32, handshakeHash: [UInt8]
    ) throws(StorageError) -> String? {
        if let end = membership.end(of: request.log) {
            return
                "this device has been \(end.kind) and is no member any more: holdfast join --anew makes"
                + " it a new one"
        }
        if membership.isMember(log: request.log) { return nil }
        guard isAdmitted, !hasEnded else { return "the device asked is not a member itself" }
        guard let invite = membership.invite(request.inviteKey) else {
            return "the invite is not known here: ask for a new link"
        }
        if invite.expiresMilliseconds != 0,
            environment.wallTime().milliseconds > invite.expiresMilliseconds
        {
            return "the invite has expired: ask for a new link"
        }
        guard
            verify(
                signature: request.signature,
                message: ControlMessage.signable(
                    handshakeHash: handshakeHash, log: request.log),
                publicKey: request.inviteKey)
        else { return "the invite's signature is wrong" }
        guard let manifest = try? Manifest(decoding: request.manifest),
            manifest.hash == request.log, manifest.signers.count == 1,
            manifest.signers[0].publicKey == remote
        else { return "the log is not the device's own" }
        do {
            try author(
                .admit(
                    .init(
                        device: remote, log: request.log, role: invite.role,
                        name: Array(request.device.utf8), invite: request.inviteKey)))
        } catch {
            if case .storage(let error) = error { throw error }
            return "this device may not admit others"
        }
        membershipGrew = true
        return nil
    }

    // MARK: Small values

    static func encode(_ count: UInt64) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt64(count)
        return writer.bytes
    }

    static func decode(_ bytes: [UInt8]?) -> UInt64 {
        guard let bytes else { return 0 }
        var reader = WireReader(bytes.span)
        return (try? reader.readUInt64()) ?? 0
    }
}
