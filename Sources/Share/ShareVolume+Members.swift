import Base
import Crypto
import FileTree
import Hypercore

/// Why a member's log cannot be ended.
package enum MemberError: Error, Equatable, Sendable {
    case unknown(String)
    /// Several members have the name: these keys tell them apart.
    case ambiguous(String, keys: [String])
    case notOwner
    case isOwnDevice
    case hasEnded(String)
    case volume(VolumeError)
}

/// Ending the logs of members that are gone. See <doc:Endings>.
extension ShareVolume {
    /// Cuts a member's log, and those that its device went on under, where this device has applied them; and closes
    /// every invite, since the device knows the one that it came with. A new one is opened here.
    ///
    /// - Parameter device: its name, or the first digits (eight at least) of its key.
    /// - Returns: the names of the logs that were cut.
    package func revoke(_ device: String) throws(MemberError) -> [String] {
        let names = try end { (engine) throws(MemberError) in
            let member = try engine.member(called: device)
            guard engine.membership.member(log: engine.ownKey)?.role == .owner else {
                throw .notOwner
            }
            let logs = [member.log] + engine.membership.successors(of: member.log)
            guard !logs.contains(engine.ownKey) else { throw .isOwnDevice }
            let open = logs.filter { engine.membership.end(of: $0)?.kind != .revoked }
            guard !open.isEmpty else { throw .hasEnded(engine.deviceName(log: member.log)) }
            for log in open {
                guard let member = engine.membership.member(log: log) else { continue }
                let length = engine.writers.slot(of: log).flatMap { engine.applied[$0] } ?? 0
                try engine.say(.revoke(.init(device: member.device, length: length)))
            }
            try engine.renewInvites()
            return open.map { engine.deviceName(log: $0) }
        }
        return names
    }

    /// Says that nothing more is to be expected of a log: all that any member has of it stays. Of this device's own
    /// that it gives up its membership.
    ///
    /// - Parameter device: as for `revoke`.
    /// - Returns: the log's name.
    package func retire(_ device: String) throws(MemberError) -> String {
        try end { (engine) throws(MemberError) in
            let member = try engine.member(called: device)
            let isOwn = member.log == engine.ownKey
            guard isOwn || engine.membership.member(log: engine.ownKey)?.role == .owner else {
                throw .notOwner
            }
            guard engine.membership.end(of: member.log) == nil else {
                throw .hasEnded(engine.deviceName(log: member.log))
            }
            try engine.say(.retire(.init(device: member.device)))
            return engine.deviceName(log: member.log)
        }
    }

    /// A link that lets another owner in: one who may revoke and retire members too.
    package func ownerLink(name: String, addressHints: [String]) throws(MemberError) -> InviteLink {
        try end { (engine) throws(MemberError) in
            guard engine.membership.member(log: engine.ownKey)?.role == .owner,
                let seed = Bytes32(environment.randomBytes(Bytes32.count))
            else { throw .notOwner }
            try engine.open(seed, as: .owner)
            return InviteLink(
                shareKey: engine.keys.shareKey, foundingLog: engine.membership.foundingLog,
                inviteSeed: seed, name: name, addressHints: addressHints)
        }
    }

    private func end<Result>(_ body: (inout Engine) throws(MemberError) -> Result)
        throws(MemberError) -> Result
    {
        let result = try engine.withLock { (engine) throws(MemberError) in
            guard engine.isAdmitted, !engine.hasEnded else { throw .notOwner }
            do throws(StorageError) {
                // Before anything is said: what waits for room in the log takes effect when there is some.
                try engine.commit()
                try engine.storage.makeRoom(bytes: Engine.Limits.blockSize)
            } catch {
                throw .volume(.storage(error))
            }
            return try body(&engine)
        }
        // Who hears that a device is revoked, or is given a link, relies on it from then on.
        do throws(VolumeError) { try sync() } catch { throw .volume(error) }
        environment.wake()
        return result
    }
}

extension Engine {
    fileprivate var ownKey: Bytes32 { writers.key(of: ownSlot) }

    fileprivate mutating func say(_ operation: Operation) throws(MemberError) {
        do throws(VolumeError) {
            try author(operation)
        } catch {
            throw .volume(error)
        }
    }

    fileprivate func member(called name: String) throws(MemberError) -> Membership.Member {
        let members = membership.logs.compactMap { membership.member(log: $0) }
        var found = members.filter { $0.name == Array(name.utf8) }
        if found.isEmpty, name.utf8.count >= 8 {
            let digits = name.lowercased()
            found = members.filter {
                $0.device.hex.hasPrefix(digits) || $0.log.hex.hasPrefix(digits)
            }
        }
        let active = found.filter { membership.end(of: $0.log) == nil }
        // A device that joined again has the name that it had before.
        if active.count == 1 { found = active }
        guard let member = found.first else { throw .unknown(name) }
        guard found.count == 1 else {
            throw .ambiguous(name, keys: found.map { String($0.device.hex.prefix(16)) })
        }
        return member
    }

    /// Closes every invite, and opens a new one that this device alone can give.
    fileprivate mutating func renewInvites() throws(MemberError) {
        for invite in membership.openInvites {
            var closed = invite
            closed.uses = 0
            try say(.invite(closed))
        }
        guard let seed = Bytes32(environment.randomBytes(Bytes32.count)) else { return }
        do throws(StorageError) {
            try storage.setValue(seed.bytes, of: StoredValue.inviteSeed)
        } catch {
            throw .volume(.storage(error))
        }
        try open(seed, as: .writer)
    }

    fileprivate mutating func open(_ invite: Bytes32, as role: MemberRole) throws(MemberError) {
        try say(
            .invite(
                .init(
                    publicKey: KeyPair(seed: invite).publicKey, role: role,
                    expiresMilliseconds: 0, uses: .max)))
    }
}
