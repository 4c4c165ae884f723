import Base
import FileTree
import Wire

/// The share's settings: of each key the value that was set last.
package struct SharedSettings: Equatable, Sendable {
    private struct Entry: Equatable, Sendable {
        var value: [UInt8]
        var order: OperationOrder
    }

    enum Limits {
        /// Keys that members can make others remember.
        static let count = 1024
    }

    private var entries: [[UInt8]: Entry] = [:]

    package init() {}

    package func value(_ key: String) -> [UInt8]? { entries[Array(key.utf8)]?.value }

    /// When a key was set last, as a hybrid time; 0 if it never was.
    func time(of key: [UInt8]) -> UInt64 { entries[key]?.order.time ?? 0 }

    /// - Returns: whether anything changed.
    mutating func apply(_ setting: Operation.Setting, at order: OperationOrder) -> Bool {
        if let known = entries[setting.key] {
            guard known.order < order else { return false }
        } else {
            guard entries.count < Limits.count else { return false }
        }
        entries[setting.key] = Entry(value: setting.value, order: order)
        return true
    }

    // MARK: Kept between runs

    /// Format (1), count, then each: key, value, time (8), writer (32), block, index.
    var encoded: [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(1)
        writer.writeUInt(entries.count)
        for (key, entry) in entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            writer.writeBuffer(key)
            writer.writeBuffer(entry.value)
            writer.writeUInt64(entry.order.time)
            writer.writeBytes32(entry.order.writer)
            writer.writeUInt(entry.order.block)
            writer.writeUInt(entry.order.index)
        }
        return writer.bytes
    }

    init(decoding bytes: [UInt8]?) throws(StorageError) {
        guard let bytes else { return }
        do throws(WireError) {
            var reader = WireReader(bytes.span)
            guard try reader.readUInt8() == 1 else { throw .invalid("format") }
            for _ in 0..<(try reader.readCount(max: Limits.count, minimumElementSize: 44)) {
                let key = try reader.readBuffer(max: FileTreeLimits.settingKeySizeMax)
                let value = try reader.readBuffer(max: FileTreeLimits.settingValueSizeMax)
                entries[key] = Entry(
                    value: value,
                    order: OperationOrder(
                        time: try reader.readUInt64(), writer: try reader.readBytes32(),
                        block: try reader.readUInt(), index: try reader.readUInt()))
            }
        } catch {
            throw .corrupt(what: "the settings; run holdfast check --rebuild")
        }
    }
}
