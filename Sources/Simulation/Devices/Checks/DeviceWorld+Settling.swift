internal import Base
internal import Share
internal import TreeModel

/// The promises that are checked when all have met and nothing moves any more, and after a crash.
extension DeviceWorld {
    /// Ends all faults and waits until every device has everything; then checks.
    func settle() {
        guard awaitEverything() else { return }
        check()
    }

    func awaitEverything() -> Bool {
        heal()
        return awaitQuiet()
    }

    /// One more device, which mostly finds a checkpoint to start from, must show the same.
    func settleWithNewcomer() {
        guard !hasClones else { return }
        run(for: .seconds(60))
        addDevice()
        settle()
    }

    private func heal() {
        for device in devices {
            device.disk.power.restore()
            pendingStops[device.index] = nil
            device.disk.power.isFull = false
            restart(device)
            device.isOnline = true
            if device.isPaused {
                device.isPaused = false
                device.volume?.setPaused(false)
            }
        }
        noteEndings()
        groups = groups.map { _ in 0 }
        hurryDials()
    }

    private func awaitQuiet() -> Bool {
        for round in 0..<400 {
            run(for: .milliseconds(round < 20 ? 250 : 2000))
            if round == 3 { for device in devices { publishStaged(on: device) } }
            if round > 3, let clock = quietClock() {
                // The last chunk may have come a moment ago, and be all that a merge waited for.
                // And devices whose clocks are equal tell each other their digests. Not a multiple of what devices do
                // every second.
                run(for: .milliseconds(hasClones ? 3100 : 100))
                // Of a block that has just been written they have not told yet.
                if quietClock() == clock { return true }
            }
            // Clones may never come to an end. On slow lines it takes a while before anybody hears of both.
            if hasTwins, round > 60, !noticedForks.isEmpty { return false }
            // Who came by a restored device before that met a member has a history of its own.
            if hasClones, round > 60, devices.contains(where: { says([Self.unreadable], $0) }) {
                return false
            }
        }
        let lines = devices.map { device -> String in
            guard let status = device.volume?.status() else { return "\(device.name) is down" }
            return "\(device.name): clock \(status.clock.sorted { $0.key < $1.key }.map(\.value))"
                + " pending \(status.pending.blocks) blocks \(status.pending.chunks) chunks"
                + " \(status.peers.count) peers"
                + " \((try? device.volume?.stagedFiles().count) ?? 0) staged"
                + status.forks.filter { $0.isOwn && !$0.isSettled }.map {
                    ", own log forks after \($0.common)"
                }.joined() + status.problems.map { ", \($0)" }.joined()
        }
        let standing = lines.joined(separator: "; ")
        // Clones write two histories into one log: that must not go unsaid.
        hasTwins
            ? report(.fork, "a log has two histories, and no device says so: " + standing)
            : report(.progress, "no end of syncing: " + standing)
        return false
    }

    /// - Returns: what all have; nil while anything is under way.
    private func quietClock() -> [String: UInt64]? {
        var clock: [String: UInt64]?
        for device in members {
            // A slow machine may not have come to what reached it last.
            guard let status = device.volume?.status(), device.busyUntil <= now, device.due > now
            else { return nil }
            let held = status.clock.filter { $0.value > 0 }
            guard status.pending == ShareStatus.Pending(), clock == nil || clock == held,
                members.count == 1 || !status.peers.isEmpty,
                status.forks.allSatisfy({ !$0.isOwn || $0.isSettled })
            else { return nil }
            if let records = try? device.volume?.stagedFiles(), !records.isEmpty {
                publishStaged(on: device)
                return nil
            }
            clock = held
        }
        return isAnyUnheardInVain ? nil : clock ?? [:]
    }

    /// Whether a device takes itself for no member that is one.
    private var isAnyUnheardInVain: Bool {
        guard !ended.isEmpty else { return false }
        let counted = devices.first?.volume?.status().members.filter { $0.state == "member" } ?? []
        return devices.contains { device in
            says([Self.unheard], device) && counted.contains { $0.log == device.ownLog.hex }
        }
    }

    private func check() {
        checkAgreement()
        guard let first = devices.first else { return }
        let shown = checkContents(of: first)
        checkBook(shown)
        if !violations.isEmpty { for device in devices { describe(device) } }
        for device in members where below(3) == 0 { checkReopening(of: device) }
        checkEnded()
    }

    /// Writes down what a device shows.
    private func describe(_ device: VirtualDevice) {
        forEachFile(on: device) { path, showing in
            let text = String(decoding: (showing.bytes ?? []).prefix(24), as: UTF8.self)
            self.write(
                "\(device.name) shows \(path): \(showing.saves.sorted())"
                    + " \(text.split(separator: "\n").first ?? "")")
        }
    }

    // MARK: Agreement

    private func checkAgreement() {
        let statuses = members.compactMap { $0.volume?.status() }
        guard let first = statuses.first else { return }
        if hasTwins { return checkDisagreement() }
        for (device, status) in zip(members, statuses) {
            if status.digest != first.digest {
                report(.agreement, "\(device.name) and dev0 have different digests")
            }
            // What names a thing that does not count any more is refused.
            if status.refused > 0, !hasRevoked {
                report(.error, "\(device.name) refused \(status.refused) operations")
            }
        }
        var pictures: [Picture] = []
        for device in members {
            if let picture = look(through: device) { pictures.append(picture) }
        }
        for (index, picture) in pictures.enumerated().dropFirst() {
            let differences = Picture.differences(pictures[0], picture)
            if let difference = differences.first {
                report(.agreement, "dev\(index) shows other things than dev0: \(difference)")
            }
        }
        if !hasClones, let picture = pictures.first { compareWithModel(picture, devices[0]) }
    }

    /// Members that have different histories of a clone's log see other things: every one must say so, but for copies of
    /// one device, which never meet.
    private func checkDisagreement() {
        func silent() -> [VirtualDevice] {
            let seen = members.compactMap { device in
                device.volume.map { (device: device, status: $0.status()) }
            }
            return seen.filter { one in
                one.status.disagreeing.isEmpty
                    && seen.contains {
                        $0.device.name != one.device.name && $0.status.digest != one.status.digest
                    }
            }.map(\.device)
        }
        // They may be about to find out.
        for _ in 0..<30 where !silent().isEmpty { run(for: .seconds(2)) }
        for device in silent() {
            report(.fork, "\(device.name) sees other things than others, and does not say so")
        }
    }

    /// Whoever is no member any more, or goes on from a log that is none, knows, and says what to do.
    private func checkEnded() {
        func untold() -> [VirtualDevice] {
            let known = devices.first?.volume?.status().members ?? []
            return devices.filter { device in
                guard ended.contains(device.index), let status = device.volume?.status() else {
                    return false
                }
                // A log was retired, and its device went on under another before that was known everywhere.
                let own = status.members.first(where: \.isOwn)?.log
                guard !known.contains(where: { $0.log == own && $0.state == "member" }) else {
                    return false
                }
                return !status.problems.contains { $0.contains("To be a member again") }
            }
        }
        // The members need not have waited for it.
        for _ in 0..<60 where !untold().isEmpty { run(for: .seconds(2)) }
        for device in untold() {
            report(.agreement, "\(device.name) is no member any more, and does not say so")
        }
    }

    private func compareWithModel(_ picture: Picture, _ device: VirtualDevice) {
        guard let status = device.volume?.status() else { return }
        do {
            var names: [Bytes32: String] = [:]
            for device in devices { names[device.ownLog] = device.name }
            var cuts: [Bytes32: Int] = [:]
            for member in status.members where member.state == "revoked" {
                guard let log = [UInt8](hex: member.log).flatMap({ Bytes32($0) }) else { continue }
                cuts[log] = Int(status.clock[member.log] ?? 0)
            }
            let model = try NaiveTree(
                try device.blocks(upTo: status.clock), cuts: cuts, names: names, text: .inline,
                settlesAfter: VirtualDevice.graceMilliseconds)
            var expected = model.picture()
            let conflicts = UInt64(expected.conflicts.count)
            expected.conflicts = []
            let differences = Picture.differences(picture, expected)
            if let difference = differences.first {
                report(.model, "\(device.name) and the model: \(difference)")
            }
            if status.conflicts < conflicts {
                report(
                    .model, "\(device.name) knows of \(status.conflicts) of \(conflicts) conflicts")
            }
        } catch {
            report(.error, "the logs cannot be read: \(error)")
        }
    }

    // MARK: Bytes

    /// Reads every file on every device: the bytes that were saved must be there.
    ///
    /// - Returns: the saves that one device shows.
    private func checkContents(of first: VirtualDevice) -> Set<Int> {
        var shown: Set<Int> = []
        for device in members {
            forEachFile(on: device) { path, showing in
                if device === first || hasClones { shown.formUnion(showing.saves) }
                guard let bytes = showing.bytes else {
                    return self.report(.bytes, "\(device.name): \(path) lacks chunks")
                }
                self.check(bytes, of: showing, path, on: device)
            }
        }
        return shown
    }

    /// Shown bytes are somebody's, or a merge in which every head's change can be found.
    private func check(
        _ bytes: [UInt8], of showing: Showing, _ path: String, on device: VirtualDevice
    ) {
        guard !hasClones else { return }
        let names = showing.opened.versions.compactMap { device.name(of: $0) }
        let numbers = names.compactMap { book.number(of: $0) }
        let saves = numbers.map { book.saves[$0] }
        guard saves.count == names.count, !saves.isEmpty else { return }
        if saves.allSatisfy({ $0.bytes == bytes }) { return }
        let words = Set(bytes.split { $0 == 0x20 || $0 == 0x0a }.map { Array($0) })
        let isMerged = Set(saves.map(\.bytes)).count > 1
        let succeeded = book.succeeded(by: numbers)
        for (number, save) in zip(numbers, saves) {
            // Somebody edited it, and somebody else only chose it.
            if succeeded.contains(number) { continue }
            // What several wrote the same has no word of its own to be found by.
            if isMerged, save.marker.map({ words.contains(Array($0.utf8)) }) ?? true { continue }
            let text = String(decoding: bytes.prefix(60), as: UTF8.self)
            return report(
                .bytes, "\(device.name): \(path) does not show what was saved: \(text)")
        }
    }

    private func checkBook(_ shown: Set<Int>) {
        // What others did to files that do not count any more is gone with them.
        guard !hasClonesCrashed, !hasRevoked else { return }
        for number in book.missing(shown: shown) {
            let save = book.saves[number]
            if ended.contains(save.device) { continue }
            if says([Self.unheard], devices[save.device]) { continue }
            write("save \(number): \(save.names), seen \(save.seen.sorted())")
            report(
                .bytes,
                "the save \(save.marker ?? "\(number)") of dev\(save.device) is neither shown nor"
                    + " succeeded, and nobody removed it")
        }
        // What one half of a clone removed may be alive in the other.
        guard !hasClones else { return }
        for number in book.bury(allBut: shown) {
            guard let marker = book.saves[number].marker else { continue }
            report(.dead, "\(marker) is back")
        }
    }

    // MARK: Starting anew

    /// A device that reads its disk anew, or makes its view anew from its logs, shows the same.
    private func checkReopening(of device: VirtualDevice) {
        guard let volume = device.volume, let before = look(through: device) else { return }
        do throws(StorageError) {
            let report = try volume.check(scratch: try DiskStorage(DeviceDisk()))
            // What clones do to a log is told, and was looked for.
            for problem in report.problems {
                let isOfClones = ["other things", "two histories"].contains { problem.contains($0) }
                if hasTwins, isOfClones { continue }
                self.report(.names, "\(device.name): check: \(problem)")
            }
            do throws(VolumeError) { try volume.sync() } catch { return }
            let hasCrashed = hasClonesCrashed
            lose(device, .killed)
            restart(device)
            hasClonesCrashed = hasCrashed
        } catch {
            return report(.error, "\(device.name): \(error)")
        }
        guard let after = look(through: device) else { return }
        if let difference = Picture.differences(before, after).first {
            report(.names, "\(device.name) shows other things after a start: \(difference)")
        }
    }

    // MARK: Crashes

    /// To be called when a device's memory is gone and its disk is what the crash left.
    func checkCrash(of device: VirtualDevice) {
        guard !hasClones else { return hasClonesCrashed = true }
        do throws(StorageError) {
            let length = try device.length(of: device.ownLog)
            if length < device.syncedLength {
                report(
                    .durability,
                    "\(device.name) has \(length) blocks after a crash; \(device.syncedLength)"
                        + " were synced")
            }
            for other in devices where other !== device {
                let copied = try other.length(of: device.ownLog)
                if copied > length {
                    report(
                        .announced,
                        "\(other.name) has \(copied) blocks of \(device.name), which has \(length)"
                            + " after a crash")
                }
            }
            book.noteCrash(of: device.index, log: device.ownLog, length: length)
            device.syncedLength = min(device.syncedLength, length)
        } catch {
            report(.error, "\(device.name): the disk cannot be read: \(error)")
        }
    }

    // MARK: Clones

    func noteNotice(_ line: String, of device: VirtualDevice) {
        if line.contains("given back") { compactions += 1 }
        if line.contains(" histor") { noticedForks.insert(device.index) }
    }
}
