internal import Base
internal import Chunks
internal import FileTree
internal import Share

/// A place that a path names.
struct Place {
    let directory: NodeID
    let name: [UInt8]
}

/// What a file shows: its node, what a program would be shown, and which saves that is.
struct Showing {
    let node: NodeID
    let opened: OpenedContent
    let bytes: [UInt8]?
    let saves: Set<Int>
}

/// The calls of the filesystem, as programs make them by path.
extension DeviceWorld {
    /// Runs one program's calls. A refusal ends the program; what must never come up is reported.
    func program(
        on device: VirtualDevice, _ calls: (ShareVolume) throws(VolumeError) -> Void
    ) {
        guard let volume = device.volume else { return }
        do throws(VolumeError) {
            try calls(volume)
        } catch {
            switch error {
            case .storage(.full) where device.disk.power.isFull: break
            case .storage(let error) where device.disk.power.isOn:
                report(.error, "\(device.name): storage: \(error)")
            default: break
            }
        }
        noticePower(of: device)
    }

    func place(_ path: String, _ volume: ShareVolume) throws(VolumeError) -> Place {
        let parts = path.split(separator: "/").map { Array($0.utf8) }
        guard let name = parts.last else { throw .invalidName }
        var directory = NodeID.root
        for part in parts.dropLast() { directory = try volume.lookup(part, in: directory).node }
        return Place(directory: directory, name: name)
    }

    func node(_ path: String, _ volume: ShareVolume) throws(VolumeError) -> Attributes {
        guard !path.isEmpty else { return try volume.attributes(of: .root) }
        let place = try place(path, volume)
        return try volume.lookup(place.name, in: place.directory)
    }

    /// What a regular file shows.
    func showing(_ node: NodeID, on device: VirtualDevice, _ volume: ShareVolume)
        throws(VolumeError) -> Showing
    {
        try publishStaged(of: node, on: device, volume)
        let opened = try volume.openContent(of: node)
        let bytes = try read(opened.content, on: device)
        let names = opened.versions.compactMap { device.name(of: $0) }
        var saves: Set<Int> = []
        if !opened.versions.isEmpty {
            // Two histories of one log give one name to two versions.
            saves = book.numbers(
                of: hasClones ? [] : names,
                contents: opened.versions.compactMap { device.content(of: $0) }
                    + [opened.content.encode()], bytes: bytes)
            // Nor did a program save what a backup was made with, if that was merged.
            if hasClones || saves.isEmpty, let bytes {
                saves.formUnion(book.numbers(toldBy: bytes))
            }
        }
        return Showing(node: node, opened: opened, bytes: bytes, saves: saves)
    }

    /// - Returns: nil if chunks are missing.
    func read(_ content: Content, on device: VirtualDevice) throws(VolumeError) -> [UInt8]? {
        guard let chunks = device.chunks else { return nil }
        let reader = ContentReader(content, storage: chunks)
        var bytes = [UInt8](repeating: 0, count: Int(reader.size))
        var span = bytes.mutableSpan
        do {
            // The buffer is used only during the call.
            let outcome = unsafe try span.withUnsafeMutableBytes {
                (buffer) throws(StorageError) in
                unsafe try reader.read(at: 0, into: buffer)
            }
            return outcome == .bytes(Int(reader.size)) ? bytes : nil
        } catch {
            throw .storage(error)
        }
    }

    // MARK: Making and saving

    func makeFile(_ place: Place, _ volume: ShareVolume) throws(VolumeError) -> NodeID {
        try volume.make(
            place.name, in: place.directory,
            MakeRequest(kind: .file, mode: 0o644, uid: 1000, gid: 1000)
        ).node
    }

    /// Cuts bytes into chunks and syncs them, as a mount does before it publishes.
    func content(_ bytes: [UInt8], on device: VirtualDevice) throws(VolumeError) -> Content {
        try content(from: BytesSource(bytes), on: device)
    }

    func content(from source: some ContentSource, on device: VirtualDevice)
        throws(VolumeError) -> Content
    {
        guard let chunks = device.chunks else { throw .stale }
        var builder = ContentBuilder(keys: keys.contentKeys, storage: chunks)
        do throws(ContentError) {
            let content = try builder.build(from: source)
            do throws(StorageError) {
                try chunks.sync()
            } catch {
                throw ContentError.storage(error)
            }
            return content
        } catch {
            switch error {
            case .storage(let error): throw .storage(error)
            case .missing: throw .unreachable
            }
        }
    }

    /// Saves bytes with the parents that the program had been shown, and writes that into the book.
    @discardableResult
    func save(
        _ bytes: [UInt8], marker: String?, to node: NodeID, parents: [UInt64], seen: Set<Int>,
        on device: VirtualDevice, _ volume: ShareVolume, isStaged: Bool = false
    ) throws(VolumeError) -> (number: Int?, published: Published) {
        let content = try content(bytes, on: device)
        let published = try volume.publish(
            Save(
                node: node, parents: parents, content: content, modified: device.wallTime(),
                settlesStaging: isStaged, bringsBack: isStaged))
        // The same bytes again are not an edit.
        if parents.contains(published.version) { return (seen.min(), published) }
        let number = note(
            published.version, bytes, content, marker: marker, seen: seen, on: device,
            of: published.node, volume)
        return (number, published)
    }

    /// - Returns: nil if the file has no name any more, so that nobody is to see the save.
    private func note(
        _ version: UInt64, _ bytes: [UInt8], _ content: Content, marker: String?, seen: Set<Int>,
        on device: VirtualDevice, of node: NodeID, _ volume: ShareVolume
    ) -> Int? {
        guard version != 0, let name = device.name(of: version),
            let attributes = try? volume.attributes(of: node), attributes.links > 0
        else { return nil }
        // The same bytes again are not an edit.
        if !hasClones, let known = book.number(of: name) { return known }
        return book.note(
            SaveBook.Save(
                device: device.index, bytes: bytes, content: content.encode(), marker: marker,
                seen: seen, names: [name]))
    }

    /// Writes down that a user removed what shows at a node, having seen it.
    func noteRemoval(of saves: Set<Int>, by device: VirtualDevice, inBlock block: UInt64) {
        book.noteRemoval(of: saves, by: device.index, inBlock: block)
    }

    /// The least block of its log that the device's next operation can be in.
    func nextBlock(of device: VirtualDevice) -> UInt64 {
        do throws(StorageError) {
            return try device.length(of: device.ownLog)
        } catch {
            return 0
        }
    }

    /// New bytes with a word that no others have.
    func newText(lines: Int = 6) -> (bytes: [UInt8], marker: String) {
        contents += 1
        let marker = "m\(contents)e"
        var text = "title \(marker)\n"
        for line in 0..<lines { text += "line \(line) of \(below(4)) and \(below(4)) more\n" }
        return (Array(text.utf8), marker)
    }
}

/// Bytes in memory as a file to be cut.
struct BytesSource: ContentSource {
    let bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
    var size: UInt64 { UInt64(bytes.count) }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
        throws(ContentError) -> Int
    {
        let count = min(buffer.count, bytes.count - Int(offset))
        // At most the buffer's count, by the line above.
        unsafe buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
        return count
    }
}
