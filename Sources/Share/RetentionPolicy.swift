import Wire

/// Which versions that were succeeded keep their content: all of the last days, of the time before the last of
/// each day, until the space for them is used up. What is shown now is always kept.
package struct RetentionPolicy: Codable, Equatable, Sendable {
    /// Milliseconds for which every version is kept.
    package var everything: UInt64
    /// Milliseconds for which the last version of each day (UTC) is kept.
    package var daily: UInt64
    /// Bytes for what is not shown any more; 0 for a tenth of the disk.
    package var space: UInt64

    static let settingKey = "retention"
    static let day: UInt64 = 24 * 3600 * 1000

    package static let standard = RetentionPolicy(
        everything: 30 * day, daily: 365 * day, space: 0)

    package init(everything: UInt64, daily: UInt64, space: UInt64) {
        self.everything = everything
        self.daily = daily
        self.space = space
    }

    /// As the setting has it: format (1), then everything, daily and space.
    var encoded: [UInt8] {
        var writer = WireWriter()
        writer.writeUInt8(1)
        writer.writeUInt(everything)
        writer.writeUInt(daily)
        writer.writeUInt(space)
        return writer.bytes
    }

    /// The standard one where the setting is missing or of a later format.
    init(setting bytes: [UInt8]?) {
        self = .standard
        guard let bytes else { return }
        var reader = WireReader(bytes.span)
        guard (try? reader.readUInt8()) == 1, let everything = try? reader.readUInt(),
            let daily = try? reader.readUInt(), let space = try? reader.readUInt()
        else { return }
        self.init(everything: everything, daily: daily, space: space)
    }
}
