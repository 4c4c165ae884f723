import Testing

@testable import FuseMount

struct RequestHeadTests {
    private func head(_ kind: RequestKind, from caller: UInt32, size: UInt32 = 4096) -> RequestHead
    {
        var bytes = [UInt8](repeating: 0, count: 80)
        func put(_ word: UInt32, at offset: Int) {
            withUnsafeBytes(of: word) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
        }
        // linux/fuse.h: opcode and pid in fuse_in_header, of 40 bytes, then size in fuse_write_in.
        put(kind.rawValue, at: 4)
        put(caller, at: 32)
        put(size, at: 40 + 16)
        return bytes.withUnsafeBytes { RequestHead($0) }
    }

    @Test
    func `nobody waits for a page that the kernel writes back`() {
        #expect(!head(.write, from: 0).isWaitedFor)
        #expect(head(.write, from: 17).isWaitedFor)
        #expect(head(.read, from: 0).isWaitedFor)
    }

    @Test
    func `large pieces go to a thread of their own whoever sends them`() {
        #expect(head(.write, from: 0, size: 1 << 20).takesLong)
        #expect(!head(.write, from: 0, size: 4096).takesLong)
    }
}
