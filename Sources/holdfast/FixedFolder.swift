import FuseMount
import Share

/// A virtual directory whose names never change.
struct FixedFolder: VirtualDirectory {
    /// In the order in which they are listed.
    let nodes: [(name: [UInt8], node: VirtualNode)]

    init(_ nodes: [(name: [UInt8], node: VirtualNode)]) { self.nodes = nodes }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        guard let found = nodes.first(where: { $0.name == name }) else { throw .notFound }
        return found.node
    }

    func names() throws(VolumeError) -> [VirtualName] {
        nodes.map { VirtualName($0.name, $0.node.kind, identity: $0.node.identity) }
    }
}
