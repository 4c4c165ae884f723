package import Wire

/// The value of PLUGIN requests (`dht.md` 9.1): commands of services that some nodes add to their own.
/// This node has none, and says so to requests that are well-formed.
package struct PluginMessage: DHTMessage {
    package var plugin: String
    package var version: UInt64
    package var command: UInt64
    package var value: [UInt8]?

    package init(plugin: String, version: UInt64, command: UInt64, value: [UInt8]? = nil) {
        self.plugin = plugin
        self.version = version
        self.command = command
        self.value = value
    }

    package init(from reader: inout WireReader) throws(WireError) {
        plugin = try reader.readString(max: DHTLimits.pluginNameSizeMax)
        version = try reader.readUInt()
        command = try reader.readUInt()
        let flags = try reader.readUInt()
        value = flags & 1 != 0 ? try reader.readBuffer(max: DHTLimits.valueSizeMax) : nil
    }

    package func encode(into writer: inout WireWriter) {
        writer.writeString(plugin)
        writer.writeUInt(version)
        writer.writeUInt(command)
        writer.writeUInt8(value == nil ? 0 : 1)
        if let value { writer.writeBuffer(value) }
    }
}
