import Base
import FileTree
import Testing

@Test func `an operation's identity is a positive row id`() {
    #expect(OperationID.root.rowID == 1)
    let id = OperationID(
        writer: WriterSlot(rawValue: WriterSlot.max), block: Limits.blocksPerLogMax - 1,
        index: Limits.operationsPerBlockMax - 1)
    #expect(id.rowID == Int64.max)
    #expect(id.writer.rawValue == WriterSlot.max)
    #expect(id.block == Limits.blocksPerLogMax - 1)
    #expect(id.index == Limits.operationsPerBlockMax - 1)
}

@Test func `two devices see each other's files`() throws {
    let a = try Device("a")
    let b = try Device("b", strangers: 3)
    try a.make(.directory, "docs")
    try a.write("docs/letter.txt", "hello")
    try b.write("readme", "hi")
    try converge([a, b])
    #expect(try a.paths() == ["docs/", "docs/letter.txt", "readme"])
    #expect(try b.paths() == ["docs/", "docs/letter.txt", "readme"])
    #expect(try b.text("docs/letter.txt") == "hello")
    #expect(a.tree.digest == b.tree.digest)
    #expect(a.tree.totals == b.tree.totals)
}
