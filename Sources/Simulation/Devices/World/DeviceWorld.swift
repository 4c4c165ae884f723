internal import Base
internal import Crypto
internal import Share

/// Devices of one share in one process, on a virtual clock, with a network between them; a seed and the
/// steps taken determine everything.
final class DeviceWorld {
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    private(set) var devices: [VirtualDevice] = []
    private(set) var violations: [Violation] = []
    var book = SaveBook()
    var random: SeededRandom
    let keys: ShareKeys
    /// Which devices reach each other: those with one number.
    var groups: [Int] = []
    private var links: [VirtualLink] = []
    /// When a pair that is not connected tries again.
    private var dials: [Pair: Instant] = [:]
    private var nextConnection: UInt64 = 1
    /// Of everything that was sent: equal on equal runs.
    private(set) var trace: UInt64 = 0xcbf2_9ce4_8422_2325
    private(set) var log: [String] = []
    /// Whether a log may have two histories: a device was cloned, or went back to a copy.
    var hasClones = false
    /// Whether members may differ for good: two devices with one key met different ones.
    var hasTwins = false
    private var backups: [Int: DeviceDisk] = [:]
    /// Devices that are no members any more, and whether one of them was revoked.
    var ended: Set<Int> = []
    var hasRevoked = false
    /// Whether a call that ends a membership broke off: it may have been heard of all the same.
    var isEndUncertain = false
    /// Those that must agree.
    var members: [VirtualDevice] {
        guard !ended.isEmpty else { return devices }
        // Who came by a member that was revoked or retired may see too much, or be none.
        let words = ["began from", "who let this device in was revoked", Self.unheard]
        return devices.filter { !ended.contains($0.index) && !says(words, $0) }
    }
    /// What a device says of which the others may never hear, since the one by whom it came was retired.
    static let unheard = "was retired before others had heard of that"
    /// What a device says of one that has another history of a restored device's log.
    static let unreadable = "it has another history of the log of"

    /// Whether a problem that the device tells of has any of these words.
    func says(_ words: [String], _ device: VirtualDevice) -> Bool {
        let problems = device.volume?.status().problems ?? []
        return problems.contains { problem in words.contains { problem.contains($0) } }
    }
    var noticedForks: Set<Int> = []
    /// Whether history is given back early.
    let isForgetful: Bool
    /// How often a device went over to a later beginning.
    var compactions = 0
    /// Whether a crash may have taken back what clones did: the book does not know of which.
    var hasClonesCrashed = false
    /// Whether no conflict may show.
    let isAlternating: Bool
    /// How many contents were made up.
    var contents = 0
    let inviteSeed = Bytes32(repeating: 0x1e)

    private struct Pair: Hashable {
        let first: Int
        let second: Int
    }

    /// More than it takes to apply, one by one, all blocks that a run has.
    private static let restlessTurnsMax = 5000

    init(seed: UInt64, isAlternating: Bool) {
        self.isAlternating = isAlternating
        isForgetful = seed & 1 == 1
        random = SeededRandom(seed: seed)
        keys = ShareKeys(shareKey: Bytes32(random.bytes(32)) ?? .zero)
    }

    func report(_ promise: Violation.Promise, _ detail: String) {
        let violation = Violation(promise, detail)
        if !violations.contains(violation) { violations.append(violation) }
    }

    func write(_ line: String) {
        // The last lines are enough to explain a failure.
        if log.count >= 400 { log.removeFirst(200) }
        log.append("\(milliseconds) \(line)")
    }

    private var milliseconds: UInt64 { now.nanoseconds / 1_000_000 }

    func below(_ count: Int) -> Int { Int.random(in: 0..<max(1, count), using: &random) }

    // MARK: Devices

    /// A new device: the founder, or one with an invite.
    /// Founds the share, or joins it, if there is a link that lets anybody in.
    func addDevice() {
        let index = devices.count
        var origin = ShareOrigin.found(name: "simulated", inviteSeed: inviteSeed)
        if let founder = devices.first {
            guard let seed = openInvite(of: founder) else { return }
            origin = .join(foundingLog: founder.ownLog, inviteSeed: seed)
        }
        let device = VirtualDevice(
            index: index, name: "dev\(index)", key: KeyPair(using: &random), keys: keys,
            origin: origin, world: self, seed: random.next())
        let day: Int64 = 86_400
        if below(2) == 0 {
            device.clockAhead = Int64.random(in: -3 * day...3 * day, using: &random)
        }
        if below(4) == 0 { device.lookCost = .microseconds(below(2000)) }
        devices.append(device)
        groups.append(groups.first ?? 0)
        start(device)
    }

    private func openInvite(of founder: VirtualDevice) -> Bytes32? {
        guard hasRevoked else { return inviteSeed }
        return try? founder.volume?.inviteLink(name: "", addressHints: [])?.inviteSeed
    }

    /// Another machine with a copy of a device's folder.
    func clone(_ device: VirtualDevice) {
        let index = devices.count
        (hasClones, hasTwins) = (true, true)
        devices.append(
            VirtualDevice(
                index: index, name: device.name, key: device.key, keys: keys,
                origin: device.origin, world: self, seed: random.next(),
                disk: device.disk.copy(), original: device.index))
        groups.append(groups[device.index])
        if ended.contains(device.index) { ended.insert(index) }
        start(devices[index])
    }

    func backUp(_ device: VirtualDevice) {
        // A stop that was to come may come here.
        defer { noticePower(of: device) }
        // What is staged would be saved once more.
        publishStaged(on: device)
        guard let volume = device.volume, (try? volume.sync()) != nil,
            (try? volume.stagedFiles().isEmpty) == true, volume.isAdmitted
        else { return }
        backups[device.index] = device.disk.copy()
    }

    /// What the device wrote since is everywhere first: only a backup of it would be lost.
    func putBack(_ device: VirtualDevice) {
        guard devices.count > 1, let backup = backups[device.index], awaitEverything() else {
            return
        }
        hasClones = true
        // What it loses here all others have.
        let hasCrashed = hasClonesCrashed
        lose(device, .killed)
        hasClonesCrashed = hasCrashed
        device.disk.become(backup)
        device.stagedSaves = [:]
        start(device)
    }

    func start(_ device: VirtualDevice) {
        guard device.volume == nil else { return }
        do throws(StorageError) {
            try device.start()
        } catch {
            if device.disk.power.isOn {
                report(.error, "\(device.name) does not start: \(error)")
            } else {
                lose(device, .powerCut)
            }
        }
    }

    /// The device stops at once.
    func lose(_ device: VirtualDevice, _ stop: Stop) {
        write("\(device.name) stops: \(stop)")
        let isKilled = stop == .killed
        for link in links {
            for end in 0...1 where link.ends[end].device === device && link.ends[end].isOpen {
                link.ends[end].isOpen = false
                link.breakDown()
                // A system that lives on closes the dead process' connections.
                if isKilled || below(2) == 0 { tellClosed(link, 1 - end, "the peer is gone") }
            }
        }
        device.lose(stop)
        if !isKilled { book.forgetBurials() }
        checkCrash(of: device)
    }

    /// Ends a device whose power went off in the last call to it.
    func noticePower(of device: VirtualDevice) {
        guard device.volume != nil, !device.disk.power.isOn else { return }
        lose(device, pendingStops[device.index] ?? .powerCut)
    }
    var pendingStops: [Int: Stop] = [:]

    // MARK: Time

    func run(for duration: Duration) { run(until: now + duration) }

    private func run(until end: Instant) {
        while true {
            dialWhatIsDue()
            var next = end
            for link in links {
                for side in 0...1 where link.ends[side].isOpen {
                    if let arrival = link.arrival(at: side) { next = min(next, arrival) }
                }
            }
            for device in devices where device.volume != nil {
                next = min(next, max(device.due, device.busyUntil))
            }
            for (_, due) in dials { next = min(next, due) }
            guard next < end else {
                now = max(now, end)
                return
            }
            now = max(now, next)
            deliver()
            for device in devices { turn(device) }
        }
    }

    /// Everybody sleeps: the clock goes on, and no connection lives through it.
    func sleep(for duration: Duration) {
        cutAll(silently: false)
        run(for: .milliseconds(200))
        cutAll(silently: false)
        now = now + duration
        for device in devices { device.due = now }
    }

    private func turn(_ device: VirtualDevice) {
        guard let volume = device.volume, device.due <= now, device.busyUntil <= now else { return }
        var effects: [ShareEffect] = []
        let next = volume.advance(into: &effects)
        noticePower(of: device)
        guard device.volume != nil else { return }
        let isRestless = next <= max(now, device.busyUntil)
        device.restlessTurns = isRestless ? device.restlessTurns + 1 : 0
        if device.restlessTurns == Self.restlessTurnsMax {
            report(.progress, "\(device.name) turns and turns, and nothing comes of it")
        }
        // Once that is known the run is to come to its end.
        let isStuck = device.restlessTurns >= Self.restlessTurnsMax
        // A host's loop does not turn in no time either.
        device.due = max(next, now + (isStuck ? .seconds(1) : .microseconds(50)))
        for effect in effects { perform(effect, of: device) }
    }

    // MARK: Network

    private func perform(_ effect: ShareEffect, of device: VirtualDevice) {
        switch effect {
        case .send(let id, let bytes):
            mix(UInt64(bytes.count) &+ id.rawValue)
            for byte in bytes { mix(UInt64(byte)) }
            guard let (link, end) = find(id, of: device) else { return }
            link.send(bytes, from: end, now: max(now, device.busyUntil))
        case .close(let id, let reason), .reject(let id, let reason):
            write("\(device.name) closes: \(reason)")
            if case .reject = effect, !hasClones {
                report(.error, "\(device.name) rejects a peer: \(reason)")
            }
            guard let (link, end) = find(id, of: device) else { return }
            tellClosed(link, end, reason)
            if case .reject = effect {
                tellClosed(link, 1 - end, "reset")
            } else {
                link.endGently()
            }
        case .log(let line):
            write("\(device.name): \(line)")
            noteNotice(line, of: device)
        case .identified, .found: break
        }
    }

    private func mix(_ value: UInt64) { trace = (trace ^ value) &* 0x100_0000_01b3 }

    private func find(_ id: ConnectionID, of device: VirtualDevice) -> (VirtualLink, Int)? {
        for link in links {
            for end in 0...1 where link.ends[end].id == id && link.ends[end].device === device {
                return link.ends[end].isOpen ? (link, end) : nil
            }
        }
        return nil
    }

    private func tellClosed(_ link: VirtualLink, _ end: Int, _ reason: String) {
        guard link.ends[end].isOpen else { return }
        link.ends[end].isOpen = false
        let device = link.ends[end].device
        device.volume?.connectionClosed(link.ends[end].id, reason: reason)
        device.due = min(device.due, now)
    }

    private func deliver() {
        for link in links {
            for end in 0...1 {
                while let arrival = link.arrival(at: end), arrival <= now {
                    let (bytes, queued) = link.take(at: end)
                    hand(bytes, link, end)
                    let sender = link.ends[1 - end]
                    if sender.isOpen {
                        sender.device.volume?.connectionDrained(sender.id, queuedBytes: queued)
                        sender.device.due = min(sender.device.due, now)
                        noticePower(of: sender.device)
                    }
                }
                if link.isEnding, link.ends[end].isOpen, link.arrival(at: end) == nil {
                    tellClosed(link, end, "closed by the peer")
                }
            }
        }
        links.removeAll { $0.isGone }
    }

    /// Hands bytes over, cut anywhere.
    private func hand(_ bytes: [UInt8], _ link: VirtualLink, _ end: Int) {
        let device = link.ends[end].device
        var rest = bytes[...]
        while !rest.isEmpty, link.ends[end].isOpen, let volume = device.volume {
            let count = below(3) == 0 ? 1 + below(rest.count) : rest.count
            let part = Array(rest.prefix(count))
            volume.connectionReceived(link.ends[end].id, part.span)
            device.restlessTurns = 0
            rest = rest.dropFirst(count)
            device.due = min(device.due, now)
            noticePower(of: device)
        }
    }

    // MARK: Connections

    private func reaches(_ first: Int, _ second: Int) -> Bool {
        let (a, b) = (devices[first], devices[second])
        return a.volume != nil && b.volume != nil && a.isOnline && b.isOnline && !a.isPaused
            && !b.isPaused && groups[first] == groups[second]
    }

    private func isConnected(_ first: Int, _ second: Int) -> Bool {
        links.contains { link in
            link.isUsable
                && (link.ends[0].device.index == first && link.ends[1].device.index == second
                    || link.ends[0].device.index == second && link.ends[1].device.index == first)
        }
    }

    private func dialWhatIsDue() {
        for first in devices.indices {
            for second in devices.indices where second > first {
                let pair = Pair(first: first, second: second)
                guard reaches(first, second), !isConnected(first, second) else {
                    dials[pair] = nil
                    continue
                }
                guard let due = dials[pair] else {
                    dials[pair] = now + .milliseconds(10 + below(3000))
                    continue
                }
                guard due <= now else { continue }
                dials[pair] = nil
                connect(first, second)
                // Both dial at once, now and then.
                if below(6) == 0 { connect(second, first) }
            }
        }
    }

    /// Tries every pair soon.
    func hurryDials() { dials = [:] }

    private func connect(_ first: Int, _ second: Int) {
        let (a, b) = (devices[first], devices[second])
        let ids = (
            ConnectionID(rawValue: nextConnection), ConnectionID(rawValue: nextConnection + 1)
        )
        nextConnection += 2
        let link = VirtualLink(
            VirtualLink.End(device: a, id: ids.0), VirtualLink.End(device: b, id: ids.1),
            delay: .microseconds([200, 5000, 40_000, 300_000][below(4)] + below(1000)),
            bytesPerSecond: [20_000, 1_000_000, 100_000_000][below(3)])
        links.append(link)
        a.volume?.connectionOpened(ids.0, isInitiator: true, address: b.name, handshake: nil)
        b.volume?.connectionOpened(ids.1, isInitiator: false, address: a.name, handshake: nil)
        a.due = min(a.due, now)
        b.due = min(b.due, now)
    }

    /// Breaks connections that should not be, or any.
    func cut(silently: Bool, where isChosen: (VirtualDevice, VirtualDevice) -> Bool) {
        for link in links where isChosen(link.ends[0].device, link.ends[1].device) {
            link.breakDown()
            for end in 0...1 where !silently || below(2) == 0 { tellClosed(link, end, "lost") }
        }
        links.removeAll { $0.isGone }
    }

    func cutAll(silently: Bool) { cut(silently: silently) { _, _ in true } }

    /// Breaks what the groups, and who is offline, do not allow.
    func cutUnreachable() {
        cut(silently: below(2) == 0) { !self.reaches($0.index, $1.index) }
    }

    var openLinks: Int { links.count { $0.isUsable } }
}
