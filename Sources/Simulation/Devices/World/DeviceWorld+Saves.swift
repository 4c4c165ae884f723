internal import Base
internal import Chunks
internal import FileTree
internal import Share

/// Programs that save files, each in its own way.
extension DeviceWorld {
    func write(_ path: String, _ style: SaveStyle, on device: VirtualDevice) {
        let (bytes, marker) = newText()
        switch style {
        case .inPlace: writeInPlace(path, bytes, marker: marker, on: device)
        case .renameOver: writeByRename(path, bytes, marker: marker, on: device)
        case .backup: writeWithBackup(path, bytes, marker: marker, on: device)
        case .unlinkFirst: writeAnew(path, bytes, marker: marker, on: device)
        }
    }

    func writeInPlace(
        _ path: String, _ bytes: [UInt8], marker: String?, on device: VirtualDevice
    ) {
        program(on: device) { (volume) throws(VolumeError) in
            let place = try place(path, volume)
            let node: NodeID
            do throws(VolumeError) {
                node = try volume.lookup(place.name, in: place.directory).node
            } catch .notFound {
                node = try makeFile(place, volume)
            }
            let shown = try showing(node, on: device, volume)
            try save(
                bytes, marker: marker, to: node, parents: shown.opened.versions,
                seen: shown.saves, on: device, volume)
        }
    }

    /// The temporary file is made at one moment, and renamed at a later one.
    func writeByRename(
        _ path: String, _ bytes: [UInt8], marker: String?, after milliseconds: Int = 0,
        on device: VirtualDevice
    ) {
        var seen: Set<Int> = []
        var number: Int?
        var temporary: Place?
        program(on: device) { (volume) throws(VolumeError) in
            let place = try place(path, volume)
            do throws(VolumeError) {
                let target = try volume.lookup(place.name, in: place.directory)
                if target.kind == .file {
                    seen = try showing(target.node, on: device, volume).saves
                }
            } catch .notFound {}
            let beside = Place(
                directory: place.directory, name: Array(".tmp\(contents)".utf8))
            let node = try makeFile(beside, volume)
            number = try save(
                bytes, marker: marker, to: node, parents: [], seen: [], on: device, volume
            ).number
            temporary = beside
        }
        guard let temporary, number != nil else { return }
        if milliseconds > 0 { run(for: .milliseconds(milliseconds)) }
        program(on: device) { (volume) throws(VolumeError) in
            let place = try place(path, volume)
            try rename(temporary, to: place, saves: number, seen: seen, on: device, volume)
        }
    }

    private func writeWithBackup(
        _ path: String, _ bytes: [UInt8], marker: String, on device: VirtualDevice
    ) {
        program(on: device) { (volume) throws(VolumeError) in
            let place = try place(path, volume)
            let backup = Place(directory: place.directory, name: place.name + Array("~".utf8))
            try rename(place, to: backup, on: device, volume)
            let node = try makeFile(place, volume)
            try save(
                bytes, marker: marker, to: node, parents: [], seen: [], on: device, volume)
            try unlink(backup, on: device, volume)
        }
    }

    private func writeAnew(
        _ path: String, _ bytes: [UInt8], marker: String, on device: VirtualDevice
    ) {
        program(on: device) { (volume) throws(VolumeError) in
            let place = try place(path, volume)
            try unlink(place, on: device, volume)
            let node = try makeFile(place, volume)
            let shown = try showing(node, on: device, volume)
            try save(
                bytes, marker: marker, to: node, parents: shown.opened.versions,
                seen: shown.saves, on: device, volume)
        }
    }

    // MARK: Edits

    /// Changes a word, adds a line, or removes one and marks its neighbour.
    func edit(_ path: String, _ choice: UInt64, on device: VirtualDevice) {
        program(on: device) { (volume) throws(VolumeError) in
            let attributes = try node(path, volume)
            guard attributes.kind == .file else { return }
            let shown = try showing(attributes.node, on: device, volume)
            guard let bytes = shown.bytes, bytes.count < 4000 else { return }
            contents += 1
            let marker = "m\(contents)e"
            let edited = Self.edited(bytes, choice, marker: marker)
            try save(
                edited, marker: marker, to: shown.node, parents: shown.opened.versions,
                seen: shown.saves, on: device, volume)
        }
    }

    private static func edited(_ bytes: [UInt8], _ choice: UInt64, marker: String) -> [UInt8] {
        let newline = UInt8(ascii: "\n")
        var lines = bytes.split(separator: newline, omittingEmptySubsequences: false)
            .map { Array($0) }
        let place = Int(choice / 16 % UInt64(lines.count))
        switch choice % 4 {
        case 0: lines.insert(Array("new \(marker)".utf8), at: place)
        case 1 where lines.count > 2:
            lines.remove(at: place)
            lines[place % lines.count] += Array(" \(marker)".utf8)
        default:
            var words = lines[place].split(separator: UInt8(ascii: " ")).map { Array($0) }
            let word = words.isEmpty ? 0 : Int(choice / 1024 % UInt64(words.count))
            if words.isEmpty {
                words = [Array(marker.utf8)]
            } else {
                words[word] = Array(marker.utf8)
            }
            lines[place] = Array(words.joined(separator: [UInt8(ascii: " ")]))
        }
        return Array(lines.joined(separator: [newline]))
    }

    func writeBinary(_ path: String, kilobytes: Int, on device: VirtualDevice) {
        contents += 1
        let marker = "m\(contents)e"
        var noise = SeededRandom(seed: UInt64(contents))
        let bytes = Array(marker.utf8) + [0] + noise.bytes(kilobytes * 1024)
        writeInPlace(path, bytes, marker: marker, on: device)
    }

    // MARK: Files held open

    func open(_ path: String, on device: VirtualDevice) {
        program(on: device) { (volume) throws(VolumeError) in
            let attributes = try node(path, volume)
            guard attributes.kind == .file, device.handles.count < 8 else { return }
            let shown = try showing(attributes.node, on: device, volume)
            device.handles.append((shown.node, shown.opened, shown.saves))
        }
    }

    func saveOpened(on device: VirtualDevice) {
        guard !device.handles.isEmpty else { return }
        let handle = device.handles.removeFirst()
        let (bytes, marker) = newText()
        program(on: device) { (volume) throws(VolumeError) in
            let saved = try save(
                bytes, marker: marker, to: handle.node, parents: handle.opened.versions,
                seen: handle.seen, on: device, volume)
            guard let number = saved.number else { return }
            // It goes on being open, and knows what it wrote.
            let opened = OpenedContent(
                versions: [saved.published.version], content: .empty,
                modified: device.wallTime())
            device.handles.append((saved.published.node, opened, [number]))
        }
    }

    // MARK: Staging

    /// Writes the front of a file and syncs it, without closing.
    func stage(_ path: String, on device: VirtualDevice) {
        let (bytes, marker) = newText(lines: 2)
        program(on: device) { (volume) throws(VolumeError) in
            guard let area = device.staging else { return }
            let attributes = try node(path, volume)
            guard attributes.kind == .file else { return }
            let shown = try showing(attributes.node, on: device, volume)
            do throws(StorageError) {
                let file = try area.create()
                var copy = bytes
                var span = copy.mutableSpan
                // The buffer is used only during the call.
                unsafe try span.withUnsafeMutableBytes { (buffer) throws(StorageError) in
                    unsafe try file.write(UnsafeRawBufferPointer(buffer), at: 0)
                }
                device.stagedSaves[file.id] = VirtualDevice.StagedSave(
                    bytes: bytes, marker: marker, seen: shown.saves)
                do throws(VolumeError) {
                    try volume.recordStaged(
                        StagedFile(
                            node: shown.node, parents: shown.opened.versions, base: .empty,
                            size: UInt64(bytes.count), modified: device.wallTime(),
                            dirty: [0..<UInt64(bytes.count)], file: file.id))
                    guard below(3) > 0 else { return }
                    try syncStaged(file, on: device, volume)
                } catch {
                    if case .storage(let error) = error { throw error }
                }
            } catch {
                throw .storage(error)
            }
        }
    }

    private func syncStaged(
        _ file: any StagingFile, on device: VirtualDevice, _ volume: ShareVolume
    ) throws(VolumeError) {
        do throws(StorageError) {
            try file.sync()
        } catch {
            throw .storage(error)
        }
        try volume.sync()
        device.stagedSaves[file.id]?.isSynced = true
    }

    /// Publishes what waits in staging files, as a mount does when they are closed, or after a start.
    func publishStaged(on device: VirtualDevice) {
        program(on: device) { (volume) throws(VolumeError) in
            for record in try volume.stagedFiles() {
                try publish(record, on: device, volume)
            }
        }
    }

    /// Programs on one device see each other's bytes, synced or not: a mount publishes them before
    /// anything else is done with the file.
    func publishStaged(of node: NodeID, on device: VirtualDevice, _ volume: ShareVolume)
        throws(VolumeError)
    {
        guard !device.stagedSaves.isEmpty else { return }
        for record in try volume.stagedFiles() where record.node == node {
            try publish(record, on: device, volume)
        }
    }

    private func publish(
        _ record: StagedFile, on device: VirtualDevice, _ volume: ShareVolume
    ) throws(VolumeError) {
        guard let area = device.staging, let chunks = device.chunks else { return }
        let file: any StagingFile
        do throws(StorageError) {
            file = try area.open(record.file)
        } catch {
            if device.stagedSaves[record.file]?.isSynced == true {
                report(.durability, "\(device.name): a synced staging file is gone")
            }
            return try volume.forgetStaged(record.node)
        }
        guard let staged = file as? DiskStagingFile else { return }
        do throws(StorageError) {
            // A power cut may have kept the record and not the bytes.
            try staged.truncate(to: record.size)
        } catch {
            throw .storage(error)
        }
        let source = StagedSource(
            base: ContentReader(record.base, storage: chunks), size: record.size,
            dirty: record.dirty, staged: staged)
        let content = try content(from: source, on: device)
        guard let bytes = try read(content, on: device) else { return }
        let known = device.stagedSaves[record.file]
        if let known, known.isSynced, known.bytes != bytes {
            report(.durability, "\(device.name): synced bytes of a staging file are not there")
        }
        let saved = try save(
            bytes, marker: known?.bytes == bytes ? known?.marker : nil, to: record.node,
            parents: record.parents, seen: known?.seen ?? [], on: device, volume,
            isStaged: true)
        // A file that is removed here loses its record with that.
        if known?.isSynced == true, try volume.attributes(of: saved.published.node).links == 0 {
            report(.durability, "\(device.name): what was synced of a removed file is gone")
        }
        device.stagedSaves[record.file] = nil
        staged.remove()
    }

    /// After a start: what was promised must be there.
    func recoverStaged(on device: VirtualDevice) {
        program(on: device) { (volume) throws(VolumeError) in
            let records = Set(try volume.stagedFiles().map(\.file))
            for (file, save) in device.stagedSaves.sorted(by: { $0.key < $1.key })
            where !records.contains(file) {
                if save.isSynced {
                    report(.durability, "\(device.name): the record of a synced file is gone")
                }
                device.stagedSaves[file] = nil
            }
            do throws(StorageError) {
                try device.staging?.removeAll(except: records)
            } catch {
                throw .storage(error)
            }
        }
        publishStaged(on: device)
    }
}
