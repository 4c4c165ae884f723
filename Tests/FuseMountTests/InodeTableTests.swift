import Base
import Share
import Testing

@testable import FuseMount

struct InodeTableTests {
    let table = InodeTable()
    let node = NodeID(rawValue: 77)

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
        let id = table.bind(node).id
        #expect(table.bind(node).id == id)
        table.forget(id)
        #expect(table.find(id)?.node == node)
        table.forget(id)
        #expect(table.find(id) == nil)
        #expect(table.id(of: node) == nil)
    }

    @Test
    func `a number is never used again`() {
        var seen = Set<InodeID>()
        for _ in 0..<1000 {
            let id = table.bind(node).id
            #expect(seen.insert(id).inserted)
            table.forget(id)
        }
        #expect(table.count == 1)
    }

    @Test
    func `the root is never forgotten`() {
        table.forget(.root, count: 100)
        #expect(table.find(.root)?.node == .root)
    }

    @Test
    func `more is never forgotten than was looked up`() {
        let id = table.bind(node).id
        table.forget(id, count: 50)
        #expect(table.find(id) == nil)
        table.forget(id, count: 50)
        #expect(table.bind(node).id != id)
    }

    @Test
    func `a file that is pinned outlives its look-ups`() throws {
        let id = table.bind(node).id
        let file = try #require(table.pin(id) { FileState(id: id, node: $0) })
        table.forget(id)
        #expect(table.find(id)?.file === file)
        #expect(table.bind(node).id == id)
        table.forget(id)
        table.unpin(file)
        #expect(table.find(id) == nil)
    }

    @Test
    func `a bound inode can stand for another node`() {
        let id = table.bind(node).id
        let other = NodeID(rawValue: 78)
        table.rebind(id, to: other)
        #expect(table.id(of: other) == id)
        #expect(table.id(of: node) == nil)
        #expect(table.find(id)?.node == other)
    }

    @Test
    func `an orphan keeps its number and gives up its node`() {
        let id = table.bind(node).id
        orphan(id)
        #expect(table.find(id)?.orphan != nil)
        #expect(table.id(of: node) == nil)
        let next = table.bind(node).id
        #expect(next != id)
        table.forget(id)
        #expect(table.find(id) == nil)
        #expect(table.find(next)?.orphan == nil)
        #expect(table.id(of: node) == next)
    }
}
