internal import Base
internal import Crypto
internal import Wire

/// The commands by which others use our store (`dht.md` 9.3). What is malformed, unsigned or beyond
/// a budget is dropped without an answer.
extension DHTNode {
    mutating func handleCommand(_ received: Answer, into effects: inout DHTEffects) {
        var answer = received
        switch answer.request.command {
        case .peerHandshake:
            handleHandshake(answer, into: &effects)
            return
        case .peerHolepunch:
            handleHolepunch(answer, into: &effects)
            return
        case .findPeer, .lookup, .announce, .unannounce, .mutablePut, .mutableGet, .immutablePut,
            .immutableGet:
            if isEphemeral {
                answer.error = DHTErrorCode.unknownCommand
                answer.hasToken = false
            } else if !store(&answer) {
                return
            }
        case .plugin where !Self.isPlugin(answer.request.value):
            return
        default:
            answer.error = DHTErrorCode.unknownCommand
            answer.hasToken = false
        }
        send(answer, into: &effects)
    }

    private static func isPlugin(_ value: [UInt8]?) -> Bool {
        value.flatMap { try? PluginMessage(decoding: $0) } != nil
    }

    /// - Returns: whether to answer.
    private mutating func store(_ answer: inout Answer) -> Bool {
        guard let target = answer.request.target else { return false }
        let now = answer.now
        switch answer.request.command {
        case .findPeer:
            answer.value = storage.forwards.touch(target, now: now)?.encoded
            return true
        case .lookup:
            answer.value = storage.lookup(target, random: &random, now: now)
            return true
        case .mutableGet:
            guard
                let wanted = Self.read(
                    answer.request.value, { r throws(WireError) in try r.readUInt() })
            else { return false }
            if let stored = storage.mutables.peek(target), stored.sequence >= wanted {
                _ = storage.mutables.touch(target, size: stored.size, now: now)
                answer.value = stored.encoded(reserving: stored.value.count + 80)
            }
            return true
        case .immutableGet:
            let size = storage.immutables.peek(target)?.count ?? 0
            answer.value = storage.immutables.touch(target, size: size, now: now)
            return true
        default:
            return write(&answer, target)
        }
    }

    /// The commands that need a token, which was checked if there is one.
    private mutating func write(_ answer: inout Answer, _ target: Bytes32) -> Bool {
        guard let token = answer.request.token, let value = answer.request.value,
            budgets.spend(1, on: .write, for: answer.source.origin, now: answer.now)
        else { return false }
        switch answer.request.command {
        case .announce:
            return announce(&answer, target, token, value)
        case .unannounce:
            return unannounce(&answer, target, token, value)
        case .mutablePut:
            return putMutable(&answer, target, value)
        case .immutablePut:
            guard value.count <= configuration.limits.storedValueSizeMax,
                Blake2b.hash256(value) == target
            else { return false }
            storage.immutables.insert(target, value, size: value.count, now: answer.now)
            return true
        default:
            return false
        }
    }

    private mutating func announce(
        _ answer: inout Answer, _ target: Bytes32, _ token: Bytes32, _ value: [UInt8]
    ) -> Bool {
        guard let message = try? AnnounceMessage(decoding: value) else { return false }
        answer.hasToken = false
        answer.hasCloserNodes = false
        guard var peer = message.peer else { return renew(message, answer) }
        guard
            message.isSigned(.announce, target: target, node: table.id, token: token)
        else { return false }
        peer.relayAddresses.removeLast(
            max(0, peer.relayAddresses.count - DHTLimits.relayAddressesKept))
        let record = DHTStorage.Refreshable(
            topic: target, publicKey: peer.publicKey, encoded: peer.encoded(reserving: 51))
        storage.announce(record, from: answer.source, random: &random, now: answer.now)
        if Blake2b.hash256(peer.publicKey.bytes) != target { note(message.bump, target, answer) }
        if let refresh = message.refresh {
            storage.refreshes.insert(refresh, record, now: answer.now)
        }
        return true
    }

    /// Stores when somebody last called for attention, unless it lies in the future.
    private mutating func note(_ bump: UInt64, _ target: Bytes32, _ answer: Answer) {
        let now =
            configuration.unixMillisecondsAtZero &+ answer.now.nanoseconds / 1_000_000
        guard bump > storage.bumps.peek(target) ?? 0,
            bump <= now &+ DHTLimits.bumpAheadMillisecondsMax
        else { return }
        storage.bumps.insert(target, bump, now: answer.now)
    }

    /// An announcement is renewed by the number whose hash it named the time before.
    private mutating func renew(_ message: AnnounceMessage, _ answer: Answer) -> Bool {
        guard let refresh = message.refresh else { return false }
        let expected = Blake2b.hash256(refresh.bytes)
        guard let record = storage.refreshes.touch(expected, now: answer.now) else { return false }
        storage.refreshes.remove(expected)
        storage.announce(record, from: answer.source, random: &random, now: answer.now)
        storage.refreshes.insert(refresh, record, now: answer.now)
        return true
    }

    private mutating func unannounce(
        _ answer: inout Answer, _ target: Bytes32, _ token: Bytes32, _ value: [UInt8]
    ) -> Bool {
        guard let message = try? AnnounceMessage(decoding: value), let peer = message.peer,
            message.isSigned(.unannounce, target: target, node: table.id, token: token)
        else { return false }
        answer.hasToken = false
        answer.hasCloserNodes = false
        storage.unannounce(peer.publicKey, topic: target)
        return true
    }

    private mutating func putMutable(
        _ answer: inout Answer, _ target: Bytes32, _ value: [UInt8]
    ) -> Bool {
        guard let message = try? MutablePutMessage(decoding: value),
            message.content.value.count <= configuration.limits.storedValueSizeMax,
            Blake2b.hash256(message.publicKey.bytes) == target,
            message.content.isSigned(by: message.publicKey)
        else { return false }
        let content = message.content
        if let stored = storage.mutables.peek(target) {
            if stored.sequence == content.sequence, stored.value != content.value {
                answer.error = DHTErrorCode.sequenceReused
                return true
            }
            if content.sequence < stored.sequence {
                answer.error = DHTErrorCode.sequenceTooLow
                return true
            }
        }
        storage.mutables.insert(target, content, size: content.size, now: answer.now)
        return true
    }
}

extension MutableValue {
    /// The bytes that a stored value counts for.
    var size: Int { value.count + signature.count }
}
