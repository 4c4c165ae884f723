package import Base

/// What a member may do. The raw value is on the wire.
package enum MemberRole: UInt8, Sendable {
    case owner = 0
    case writer = 1
    case reader = 2
    case keeper = 3
}

/// Operations that the tree carries and does not read: membership, settings, checkpoints.
extension Operation {
    package struct Admit: Equatable, Sendable {
        /// The device's Ed25519 public key.
        package var device: Bytes32
        /// The key of its log in this share; nil for roles that do not write.
        package var log: Bytes32?
        package var role: MemberRole
        /// For people, UTF-8, at most `Limits.deviceNameSizeMax` bytes.
        package var name: [UInt8]
        /// The public key of the invite that was used.
        package var invite: Bytes32?
        /// Set when the log goes on where another one of the same device ended.
        package var succession: Succession?

        package init(
            device: Bytes32, log: Bytes32?, role: MemberRole, name: [UInt8],
            invite: Bytes32? = nil, succession: Succession? = nil
        ) {
            self.device = device
            self.log = log
            self.role = role
            self.name = name
            self.invite = invite
            self.succession = succession
        }
    }

    /// A member's word that a new log, with a key pair of its own, is its own too: whoever carries the
    /// admission can neither forge it nor give the successor another role.
    package struct Succession: Equatable, Sendable {
        /// The log that a member has and does not go on with.
        package var predecessor: Bytes32
        /// By the predecessor's device key over `signable`, `signatureSize` bytes.
        package var signature: [UInt8]

        package static let signatureSize = 64

        package init(predecessor: Bytes32, signature: [UInt8]) {
            self.predecessor = predecessor
            self.signature = signature
        }

        /// What the predecessor's device key signs.
        package static func signable(predecessor: Bytes32, log: Bytes32, device: Bytes32) -> [UInt8]
        {
            Array("holdfast successor".utf8) + predecessor.bytes + log.bytes + device.bytes
        }
    }

    /// A member leaves, or is marked dormant, in good standing.
    package struct Retire: Equatable, Sendable {
        package var device: Bytes32
        package init(device: Bytes32) { self.device = device }
    }

    /// A member loses its rights; only the first `length` blocks of its log count.
    package struct Revoke: Equatable, Sendable {
        package var device: Bytes32
        package var length: UInt64

        package init(device: Bytes32, length: UInt64) {
            self.device = device
            self.length = length
        }
    }

    package struct Invite: Equatable, Sendable {
        package var publicKey: Bytes32
        package var role: MemberRole
        /// Milliseconds since 1970; 0 is never.
        package var expiresMilliseconds: UInt64
        /// How many devices may use it; 0 takes the invite back.
        package var uses: UInt32

        package init(
            publicKey: Bytes32, role: MemberRole, expiresMilliseconds: UInt64, uses: UInt32
        ) {
            self.publicKey = publicKey
            self.role = role
            self.expiresMilliseconds = expiresMilliseconds
            self.uses = uses
        }
    }

    /// A setting of the share.
    package struct Setting: Equatable, Sendable {
        package var key: [UInt8]
        package var value: [UInt8]

        package init(key: [UInt8], value: [UInt8]) {
            self.key = key
            self.value = value
        }
    }

    /// The digest of a view: without a content, of the one that the block's author had, of everything the
    /// block has seen.
    package struct Checkpoint: Equatable, Sendable {
        package var digest: Bytes32
        /// What the chunk layer made of the bytes of the view that has the digest, an earlier one of this
        /// author's; empty if there are none.
        package var content: [UInt8]

        package init(digest: Bytes32, content: [UInt8] = []) {
            self.digest = digest
            self.content = content
        }
    }
}
