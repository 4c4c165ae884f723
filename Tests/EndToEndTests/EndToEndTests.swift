import Testing

/// Real programs, real mounts, this machine alone.
///
/// One test at a time: each starts daemons of its own, in a folder of its own. The variables
/// HOLDFAST_TEST_FULL, HOLDFAST_TEST_SEED and HOLDFAST_TEST_PROGRAM are explained in `Machine`.
@Suite(
    .serialized,
    .enabled(if: Machine.canMount, "/dev/fuse cannot be opened here, so nothing can be mounted"))
struct EndToEndTests {}

/// Two devices with one share, mounted and connected.
struct Pair {
    let alice: Device
    let bob: Device

    /// - Parameter states: the folder of alice's state.
    init(in place: Place, states: String = "state") throws {
        alice = Device("alice", in: place, states: states)
        bob = Device("bob", in: place)
        try bob.join(alice.create())
    }

    var both: [Device] { [alice, bob] }

    /// Waits until both say that they show the same and have it all, and both mounts agree.
    func converge(
        within limit: Duration = .seconds(30), sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try Devices.converge(both, within: limit, sourceLocation: sourceLocation)
    }
}

enum Devices {
    static func converge(
        _ devices: [Device], within limit: Duration = .seconds(30),
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        var said: [Status] = []
        let agreed = try wait(limit, every: .milliseconds(50)) {
            said = try devices.map { try $0.status() }
            return said.allSatisfy { $0.digest == said[0].digest && $0.isIdle }
        }
        guard agreed else {
            let facts = zip(devices, said).map { device, status in
                """
                \(device.name): digest \(status.digest.prefix(12)), clock \
                \(status.clock.values.sorted()), pending \(status.pending.blocks) blocks \
                \(status.pending.chunks) chunks \(status.pending.bytes) bytes, peers \
                \(status.peers.map { "\($0.device) \($0.state)" })
                """
            }.joined(separator: "\n")
            Issue.record("no agreement within \(limit):\n\(facts)", sourceLocation: sourceLocation)
            throw SubprocessError(description: "the devices did not converge")
        }
        // What the kernel had cached of the other's changes is dropped moments later.
        for device in devices.dropFirst() {
            var differences: [String] = []
            try wait(.seconds(3), every: .milliseconds(100)) {
                let theirs = try TreeListing(of: device.mountPoint)
                differences = try TreeListing(of: devices[0].mountPoint).differences(from: theirs)
                return differences.isEmpty
            }
            #expect(
                differences.isEmpty,
                """
                \(devices[0].name) and \(device.name) have one digest and show different trees:
                \(differences.joined(separator: "\n"))
                """, sourceLocation: sourceLocation)
        }
    }
}
