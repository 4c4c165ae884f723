package import Base
import FileTree
import Wire

/// Where a checkpoint is, and the blocks that show that its author is a member: the founding one first, each
/// admitting a log that a later one is of, the checkpoint's own last.
package struct StartingPoint: Equatable, Sendable {
    package struct Link: Equatable, Sendable {
        package var log: Bytes32
        package var block: UInt64
    }

    enum Limits {
        static let links = 64
    }

    package var links: [Link]

    /// Count, then each: log (32), block.
    func write(into writer: inout WireWriter) {
        writer.writeUInt(links.count)
        for link in links {
            writer.writeBytes32(link.log)
            writer.writeUInt(link.block)
        }
    }

    init(links: [Link]) { self.links = links }

    init(_ reader: inout WireReader) throws(WireError) {
        links = []
        for _ in 0..<(try reader.readCount(max: Limits.links, minimumElementSize: 33)) {
            links.append(
                Link(
                    log: try reader.readBytes32(),
                    block: try reader.readUInt(max: FileTreeLimits.blocksPerLogMax - 1)))
        }
        guard !links.isEmpty else { throw .invalid("a starting point of nothing") }
    }
}
