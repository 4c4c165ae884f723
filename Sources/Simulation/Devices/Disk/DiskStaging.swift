internal import Base
internal import Chunks
internal import Share

/// Staging files on a device's disk.
final class DiskStaging: StagingArea, @unchecked Sendable {
    private let disk: DeviceDisk

    init(_ disk: DeviceDisk) { self.disk = disk }

    func create() throws(StorageError) -> any StagingFile {
        try disk.power.step()
        try disk.power.requireRoom()
        let id = disk.nextStaging
        disk.nextStaging += 1
        disk.staging[id] = DeviceDisk.StagingImage()
        return DiskStagingFile(disk, id)
    }

    func open(_ id: UInt64) throws(StorageError) -> any StagingFile {
        guard disk.staging[id] != nil else {
            throw .corrupt(what: "staging file \(id) is missing")
        }
        return DiskStagingFile(disk, id)
    }

    func removeAll(except kept: Set<UInt64>) throws(StorageError) {
        try disk.power.step()
        for id in disk.staging.keys.sorted() where !kept.contains(id) { disk.staging[id] = nil }
    }
}

/// One staging file; small, so holes are zeros.
final class DiskStagingFile: StagingFile, StagedBytes, @unchecked Sendable {
    private let disk: DeviceDisk
    let id: UInt64

    init(_ disk: DeviceDisk, _ id: UInt64) {
        self.disk = disk
        self.id = id
    }

    private var bytes: [UInt8] { disk.staging[id]?.bytes ?? [] }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
        -> Int
    {
        let bytes = bytes
        guard offset < UInt64(bytes.count) else { return 0 }
        let end = min(bytes.count, Int(offset) + buffer.count)
        // At most the buffer's count, by the line above.
        unsafe buffer.copyBytes(from: bytes[Int(offset)..<end])
        return end - Int(offset)
    }

    func write(_ new: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        try disk.power.step()
        try disk.power.requireRoom()
        var bytes = bytes
        let end = Int(offset) + new.count
        if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
        // The bytes are copied before the call ends.
        let copied = unsafe Array(new)
        bytes.replaceSubrange(Int(offset)..<end, with: copied)
        disk.staging[id]?.bytes = bytes
    }

    func punchHole(_ range: Range<UInt64>) throws(StorageError) {
        try disk.power.step()
        var bytes = bytes
        for place in range where place < UInt64(bytes.count) { bytes[Int(place)] = 0 }
        disk.staging[id]?.bytes = bytes
    }

    func truncate(to size: UInt64) throws(StorageError) {
        try disk.power.step()
        var bytes = Array(bytes.prefix(Int(size)))
        if bytes.count < Int(size) {
            bytes += [UInt8](repeating: 0, count: Int(size) - bytes.count)
        }
        disk.staging[id]?.bytes = bytes
    }

    func nextData(after offset: UInt64) throws(StorageError) -> Range<UInt64>? {
        let count = UInt64(bytes.count)
        return offset < count ? offset..<count : nil
    }

    func nextData(from offset: UInt64) -> UInt64? {
        offset < UInt64(bytes.count) ? offset : nil
    }

    func sync() throws(StorageError) {
        try disk.power.step()
        let bytes = bytes
        disk.staging[id]?.synced = bytes
        disk.staging[id]?.hasSyncedName = true
        try disk.power.step()
    }

    func remove() {
        guard disk.power.isOn else { return }
        disk.staging[id] = nil
    }
}
