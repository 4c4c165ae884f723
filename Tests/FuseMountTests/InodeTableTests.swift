import Base
import Share
import Testing

@testable import FuseMount

struct InodeTableTests {
    let table = InodeTable()
    let node = NodeID(rawValue: 77)

    private func bind(_ node: NodeID, showing number: NodeID? = nil) -> InodeID {
        table.bind(node, showing: number ?? node).id
    }

    private func orphan(_ id: InodeID) {
        table.orphan(
            id,
            Orphan(
                attributes: Attributes(
                    node: node, kind: .file, mode: 0, links: 0, uid: 0, gid: 0, device: 0, size: 0,
                    modified: .epoch, changed: .epoch, accessed: .epoch), content: nil))
    }

    @Test
    func `an inode lives until every look-up is forgotten`() {
        let id = bind(node)
        #expect(bind(node) == id)
        table.forget(id)
        #expect(table.find(id)?.node == node)
        table.forget(id)
        #expect(table.find(id) == nil)
        #expect(table.id(of: node) == nil)
    }

    @Test
    func `an inode has the number that its object shows, each time anew`() {
        for _ in 0..<3 {
            let id = bind(node, showing: NodeID(rawValue: 55))
            #expect(id.rawValue == 55)
            #expect(table.id(of: node) == id)
            table.forget(id)
            #expect(table.id(of: node) == nil)
        }
        #expect(table.count == 1)
    }

    @Test
    func `two objects never have the same inode, whatever they show`() {
        let first = bind(node)
        let second = bind(NodeID(rawValue: 78), showing: node)
        #expect(first != second)
        #expect(table.find(first)?.node == node)
        #expect(table.find(second)?.node == NodeID(rawValue: 78))
        #expect(bind(NodeID(rawValue: 78), showing: node) == second)
    }

    @Test
    func `after a save by rename each inode keeps its number`() {
        let (target, temporary) = (NodeID(rawValue: 70), NodeID(rawValue: 71))
        let (old, new) = (bind(target), bind(temporary))
        orphan(old)
        table.rebind(new, to: target)
        #expect(table.find(old)?.orphan != nil)
        #expect(bind(target, showing: temporary) == new)
        #expect(table.id(of: temporary) == nil)
        table.forget(old)
        table.forget(new, count: 2)
        #expect(bind(target, showing: temporary) == new)
        #expect(table.count == 2)
    }

    @Test
    func `the root is never forgotten`() {
        table.forget(.root, count: 100)
        #expect(table.find(.root)?.node == .root)
    }

    @Test
    func `more is never forgotten than was looked up`() {
        let id = bind(node)
        table.forget(id, count: 50)
        #expect(table.find(id) == nil)
        table.forget(id, count: 50)
        #expect(bind(node) == id)
        table.forget(id)
        #expect(table.count == 1)
    }

    @Test
    func `a file that is pinned outlives its look-ups`() throws {
        let id = bind(node)
        let file = try #require(table.pin(id) { FileState(id: id, node: $0) })
        table.forget(id)
        #expect(table.find(id)?.file === file)
        #expect(bind(node) == id)
        table.forget(id)
        table.unpin(file)
        #expect(table.find(id) == nil)
    }

    @Test
    func `a bound inode can stand for another node`() {
        let id = bind(node)
        let other = NodeID(rawValue: 78)
        table.rebind(id, to: other)
        #expect(table.id(of: other) == id)
        #expect(table.id(of: node) == nil)
        #expect(table.find(id)?.node == other)
    }

    @Test
    func `an orphan keeps its number and gives up its node`() {
        let id = bind(node)
        orphan(id)
        #expect(table.find(id)?.orphan != nil)
        #expect(table.id(of: node) == nil)
        let next = bind(node)
        #expect(next != id)
        table.forget(id)
        #expect(table.find(id) == nil)
        #expect(table.find(next)?.orphan == nil)
        #expect(table.id(of: node) == next)
    }
}
