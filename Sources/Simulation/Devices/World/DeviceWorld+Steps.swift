internal import Base
internal import FileTree
internal import Share
internal import TreeModel

/// What each step does.
extension DeviceWorld {
    func take(_ step: DeviceStep) {
        switch step {
        case .write(let index, let path, let style): on(index) { self.write(path, style, on: $0) }
        case .writeSlowly(let index, let path, let milliseconds):
            on(index) { device in
                let (bytes, marker) = self.newText()
                self.writeByRename(path, bytes, marker: marker, after: milliseconds, on: device)
            }
        case .writeSame(let index, let path):
            on(index) {
                self.writeInPlace(path, Array("the same\n".utf8), marker: nil, on: $0)
            }
        case .edit(let index, let path, let choice): on(index) { self.edit(path, choice, on: $0) }
        case .writeBinary(let index, let path, let kilobytes):
            on(index) { self.writeBinary(path, kilobytes: kilobytes, on: $0) }
        case .open(let index, let path): on(index) { self.open(path, on: $0) }
        case .save(let index): on(index) { self.saveOpened(on: $0) }
        case .stage(let index, let path): on(index) { self.stage(path, on: $0) }
        case .sync(let index): on(index) { self.sync($0) }
        case .makeDirectory, .symlink, .link, .rename, .exchange, .unlink, .removeDirectory,
            .removeTree:
            takeName(step)
        case .setMode, .setOwner, .setTime, .setXattr, .removeXattr: takeAttribute(step)
        case .removeCopy, .editCopy, .renameCopy: takeCopy(step)
        case .stop, .start, .offline, .online, .partition, .cut, .pause, .resume, .setClock,
            .fillDisk, .freeDisk, .join, .clone, .backUp, .putBack, .end:
            takeFault(step)
        case .run(let milliseconds): run(for: .milliseconds(milliseconds))
        case .sleep(let hours): sleep(for: .seconds(3600 * hours))
        case .look(let index): on(index) { self.look(through: $0) }
        case .rebuild(let index): on(index) { self.rebuild($0) }
        case .settle: settle()
        }
    }

    private func on(_ index: Int, _ body: (VirtualDevice) -> Void) {
        guard index < devices.count else { return }
        body(devices[index])
    }

    private func call(
        _ index: Int, _ path: String,
        _ body: (VirtualDevice, ShareVolume, Place) throws(VolumeError) -> Void
    ) {
        on(index) { device in
            self.program(on: device) { (volume) throws(VolumeError) in
                try body(device, volume, try self.place(path, volume))
            }
        }
    }

    private func takeName(_ step: DeviceStep) {
        switch step {
        case .makeDirectory(let index, let path):
            call(index, path) { (_, volume, place) throws(VolumeError) in
                _ = try volume.make(
                    place.name, in: place.directory,
                    MakeRequest(kind: .directory, mode: 0o755, uid: 1000, gid: 1000))
            }
        case .symlink(let index, let path, let target):
            call(index, path) { (_, volume, place) throws(VolumeError) in
                _ = try volume.make(
                    place.name, in: place.directory,
                    MakeRequest(
                        kind: .symlink, mode: 0o777, uid: 1000, gid: 1000,
                        target: Array(target.utf8)))
            }
        case .link(let index, let path, let other):
            call(index, other) { (_, volume, place) throws(VolumeError) in
                let node = try self.node(path, volume).node
                _ = try volume.link(node, as: place.name, in: place.directory)
            }
        case .rename(let index, let path, let other):
            call(index, path) { (device, volume, place) throws(VolumeError) in
                try self.rename(place, to: try self.place(other, volume), on: device, volume)
            }
        case .exchange(let index, let path, let other):
            call(index, path) { (_, volume, place) throws(VolumeError) in
                let target = try self.place(other, volume)
                _ = try volume.rename(
                    place.name, in: place.directory, to: target.name, in: target.directory,
                    .exchange)
            }
        case .unlink(let index, let path):
            call(index, path) { (device, volume, place) throws(VolumeError) in
                try self.unlink(place, on: device, volume)
            }
        case .removeDirectory(let index, let path):
            call(index, path) { (_, volume, place) throws(VolumeError) in
                _ = try volume.removeDirectory(place.name, in: place.directory)
            }
        case .removeTree(let index, let path):
            call(index, path) { (device, volume, place) throws(VolumeError) in
                try self.removeTree(place, on: device, volume)
            }
        default: break
        }
    }

    private func takeAttribute(_ step: DeviceStep) {
        func change(_ index: Int, _ path: String, _ change: AttributeChange) {
            call(index, path) { (_, volume, place) throws(VolumeError) in
                let node = try volume.lookup(place.name, in: place.directory).node
                _ = try volume.setAttributes(of: node, to: change)
            }
        }
        switch step {
        case .setMode(let index, let path, let mode):
            change(index, path, AttributeChange(mode: UInt32(mode)))
        case .setOwner(let index, let path, let owner):
            change(index, path, AttributeChange(uid: owner, gid: owner))
        case .setTime(let index, let path, let seconds):
            change(index, path, AttributeChange(modified: Timestamp(seconds: seconds)))
        case .setXattr(let index, let path, let value):
            call(index, path) { (_, volume, place) throws(VolumeError) in
                let node = try volume.lookup(place.name, in: place.directory).node
                try volume.setExtendedAttribute(
                    Array("user.x".utf8), of: node, to: [value], mustExist: false,
                    mustBeNew: false)
            }
        case .removeXattr(let index, let path):
            call(index, path) { (_, volume, place) throws(VolumeError) in
                let node = try volume.lookup(place.name, in: place.directory).node
                try volume.removeExtendedAttribute(Array("user.x".utf8), of: node)
            }
        default: break
        }
    }

    private func takeCopy(_ step: DeviceStep) {
        func copy(
            _ index: Int, _ path: String,
            _ body: (VirtualDevice, ShareVolume, Place) throws(VolumeError) -> Void
        ) {
            on(index) { device in
                self.program(on: device) { (volume) throws(VolumeError) in
                    try body(device, volume, try self.copy(in: path, volume))
                }
            }
        }
        switch step {
        case .removeCopy(let index, let path):
            copy(index, path) { (device, volume, place) throws(VolumeError) in
                try self.unlink(place, on: device, volume)
            }
        case .editCopy(let index, let path):
            copy(index, path) { (device, volume, place) throws(VolumeError) in
                let node = try volume.lookup(place.name, in: place.directory).node
                let shown = try self.showing(node, on: device, volume)
                let (bytes, marker) = self.newText()
                try self.save(
                    bytes, marker: marker, to: node, parents: shown.opened.versions,
                    seen: shown.saves, on: device, volume)
            }
        case .renameCopy(let index, let path, let other):
            copy(index, path) { (device, volume, place) throws(VolumeError) in
                try self.rename(place, to: try self.place(other, volume), on: device, volume)
            }
        default: break
        }
    }

    private func takeFault(_ step: DeviceStep) {
        switch step {
        case .stop(let index, let stop, let operations):
            on(index) { device in
                self.pendingStops[index] = stop
                device.disk.power.cut(after: UInt64(operations))
                self.noticePower(of: device)
            }
        case .start(let index): on(index) { self.restart($0) }
        case .offline(let index):
            on(index) { device in
                device.isOnline = false
                self.cutUnreachable()
            }
        case .online(let index): on(index) { $0.isOnline = true }
        case .partition(let groups):
            for index in devices.indices {
                self.groups[index] = index < groups.count ? groups[index] : 0
            }
            cutUnreachable()
        case .cut: cut(silently: below(2) == 0) { _, _ in self.below(2) == 0 }
        case .pause(let index), .resume(let index):
            on(index) { device in
                if case .pause = step { device.isPaused = true } else { device.isPaused = false }
                device.volume?.setPaused(device.isPaused)
            }
        case .setClock(let index, let seconds): on(index) { $0.clockAhead = Int64(seconds) }
        case .fillDisk(let index): on(index) { $0.disk.power.isFull = true }
        case .freeDisk(let index): on(index) { $0.disk.power.isFull = false }
        case .join:
            guard devices.count < 8 else { return }
            addDevice()
        case .clone(let index):
            on(index) { device in
                guard self.devices.count < 8, device.volume != nil else { return }
                self.clone(device)
            }
        case .backUp(let index): on(index) { self.backUp($0) }
        case .putBack(let index): on(index) { self.putBack($0) }
        case .end(let index, let isRevoked): on(index) { self.end($0, isRevoked: isRevoked) }
        default: break
        }
    }

    /// The founder ends another device's membership.
    private func end(_ device: VirtualDevice, isRevoked: Bool) {
        guard !hasClones, device.index > 0, !ended.contains(device.index),
            devices.count > ended.count + 2, let founder = devices.first,
            devices.allSatisfy({ $0.volume?.isAdmitted ?? false })
        else { return }
        program(on: founder) { (volume) throws(VolumeError) in
            isEndUncertain = true
            do throws(MemberError) {
                if isRevoked {
                    _ = try volume.revoke(device.name)
                } else {
                    _ = try volume.retire(device.name)
                }
                ended.insert(device.index)
                if isRevoked { hasRevoked = true }
                isEndUncertain = false
            } catch {
                if case .volume(let error) = error { throw error }
            }
        }
    }

    /// Goes by the founder, who was to end a membership when it crashed.
    func noteEndings() {
        guard isEndUncertain, let members = devices.first?.volume?.status().members else { return }
        isEndUncertain = false
        for device in devices {
            let log = device.ownLog.hex
            guard let member = members.first(where: { $0.log == log }), member.state != "member"
            else { continue }
            ended.insert(device.index)
            if member.state == "revoked" { hasRevoked = true }
        }
    }

    /// Starts a device that is stopped, and publishes what the last run left.
    func restart(_ device: VirtualDevice) {
        guard device.volume == nil else { return }
        start(device)
        guard device.volume != nil else { return }
        recoverStaged(on: device)
    }

    func rebuild(_ device: VirtualDevice) {
        guard let before = look(through: device), let known = device.volume?.status() else {
            return
        }
        program(on: device) { (volume) throws(VolumeError) in
            do throws(StorageError) {
                try volume.rebuildView()
            } catch {
                throw .storage(error)
            }
        }
        // Without room it is made anew in part, and the rest later.
        guard !device.disk.power.isFull else { return }
        // What was received and found no room on the disk is taken in by the way. While bytes are missing
        // it depends on the past whether heads that may merge all show.
        guard let status = device.volume?.status(), status.clock == known.clock,
            status.pending.chunks == 0, known.pending.chunks == 0, let after = look(through: device)
        else { return }
        if let difference = Picture.differences(before, after).first {
            report(.names, "\(device.name) shows other things after a rebuild: \(difference)")
        }
    }

    private func sync(_ device: VirtualDevice) {
        program(on: device) { (volume) throws(VolumeError) in
            try volume.sync()
            device.syncedLength = max(device.syncedLength, nextBlock(of: device))
        }
    }
}
