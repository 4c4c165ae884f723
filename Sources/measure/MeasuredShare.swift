import Base
import Crypto
import Glibc
import Host
import Share
import Store

/// The one share in a device's state folder, opened without peers and without a mount.
///
/// One thread does everything, sealing and committing too, when they are due as in a mount.
final class MeasuredShare {
    let volume: ShareVolume
    let folder: ShareFolder
    private var due = Instant.zero
    private var effects: [ShareEffect] = []

    /// Makes the state and the share if the folder has none.
    init(home: String) throws {
        let state = try StateFolder(path: home)
        var random = SecureRandom()
        let origin: ShareOrigin
        if let known = try state.shares().first {
            folder = known
            origin = .stored
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
            environment: Clocks(), diskSpace: { (total: 0, free: 0) })
    }

    private final class Clocks: ShareEnvironment {
        func now() -> Instant { monotonicNow() }
        func wallTime() -> Timestamp { wallNow() }
        func wake() {}
        func randomBytes(_ count: Int) -> [UInt8] {
            var random = SecureRandom()
            return random.bytes(count)
        }
    }

    /// What the event loop does between calls.
    func turn() {
        let now = monotonicNow()
        guard now >= due else { return }
        // Calls that change something would wake the loop: it looks again soon in any case.
        due = min(volume.advance(into: &effects), now + .milliseconds(3))
        effects.removeAll(keepingCapacity: true)
    }
}
