import Base
import Crypto
import Glibc
import Host
import Share
import Store
import Synchronization

/// The one share in a device's state folder, opened without peers and without a mount.
///
/// One thread does everything, sealing and committing too, when they are due as in a mount.
final class MeasuredShare {
    let volume: ShareVolume
    let folder: ShareFolder
    private let clocks = Clocks()
    private var due = Instant.zero
    private var effects: [ShareEffect] = []

    /// Makes the state and the share if the folder has none.
    ///
    /// - Parameter first: the device that made the share, if this is not the one.
    init(
        home: String, joining first: MeasuredShare? = nil,
        checkpoints policy: CheckpointPolicy = .standard
    ) throws {
        let state = try StateFolder(path: home)
        var random = SecureRandom()
        let origin: ShareOrigin
        if let known = try state.shares().first {
            folder = known
            origin = .stored
        } else if let first,
            let link = try first.volume.inviteLink(name: "measure", addressHints: [])
        {
            folder = try state.makeShare(
                ShareKeys(shareKey: try first.folder.key()).shareID.hex,
                key: try first.folder.key(),
                settings: ShareSettings(name: "measure"))
            origin = .join(foundingLog: link.foundingLog, inviteSeed: link.inviteSeed)
        } else {
            let key = Bytes32(random.bytes(32)) ?? .zero
            folder = try state.makeShare(
                ShareKeys(shareKey: key).shareID.hex, key: key,
                settings: ShareSettings(name: "measure"))
            origin = .found(name: "measure", inviteSeed: Bytes32(random.bytes(32)) ?? .zero)
        }
        let device = try state.device() ?? state.makeDevice(named: "measure", using: &random)
        volume = try ShareVolume(
            ShareIdentity(
                keys: ShareKeys(shareKey: try folder.key()), device: device.keyPair,
                deviceName: device.name),
            origin: origin, storage: try folder.openDatabase(), chunks: try folder.openPacks(),
            environment: clocks, diskSpace: { (total: 1 << 40, free: 1 << 39) },
            checkpoints: policy)
    }

    private final class Clocks: ShareEnvironment {
        /// How much the wall clock is slow, in nanoseconds.
        let behind = Atomic<Int64>(0)

        func now() -> Instant { monotonicNow() }

        func wallTime() -> Timestamp {
            let now = wallNow()
            let behind = behind.load(ordering: .relaxed)
            let nanoseconds = Int64(now.nanoseconds) - behind % 1_000_000_000
            return Timestamp(
                seconds: now.seconds - behind / 1_000_000_000 - (nanoseconds < 0 ? 1 : 0),
                nanoseconds: UInt32(
                    nanoseconds < 0 ? nanoseconds + 1_000_000_000 : nanoseconds))
        }

        func wake() {}
        func randomBytes(_ count: Int) -> [UInt8] {
            var random = SecureRandom()
            return random.bytes(count)
        }
    }

    /// Sets the wall clock back; time goes on as before.
    func setClock(behind: Duration) {
        clocks.behind.store(behind.nanosecondsClamped, ordering: .relaxed)
    }

    /// What the event loop does between calls.
    func turn() {
        let now = monotonicNow()
        guard now >= due else { return }
        // Calls that change something would wake the loop: it looks again soon in any case.
        due = min(volume.advance(into: &effects), now + .milliseconds(3))
        effects.removeAll(keepingCapacity: true)
    }

    /// Hands everything that is said to the other device until neither says anything more.
    ///
    /// - Returns: how long this device's turns took, the other's not counted.
    func meet(_ other: MeasuredShare, _ pipe: ConnectionID, until isOver: () -> Bool) -> Duration {
        volume.connectionOpened(pipe, isInitiator: true, address: "other", handshake: nil)
        other.volume.connectionOpened(pipe, isInitiator: false, address: "this", handshake: nil)
        var spent = Duration.zero
        while !isOver() {
            let begin = monotonicNow()
            let said = self.said()
            spent = spent + (monotonicNow() - begin)
            for bytes in said { other.volume.connectionReceived(pipe, bytes.span) }
            if !said.isEmpty { volume.connectionDrained(pipe, queuedBytes: 0) }
            let answers = other.said()
            let heard = monotonicNow()
            for bytes in answers { volume.connectionReceived(pipe, bytes.span) }
            spent = spent + (monotonicNow() - heard)
            if !answers.isEmpty { other.volume.connectionDrained(pipe, queuedBytes: 0) }
        }
        volume.connectionClosed(pipe, reason: "done")
        other.volume.connectionClosed(pipe, reason: "done")
        return spent
    }

    private func said() -> [[UInt8]] {
        _ = volume.advance(into: &effects)
        defer { effects.removeAll(keepingCapacity: true) }
        return effects.compactMap { if case .send(_, let bytes) = $0 { bytes } else { nil } }
    }
}
