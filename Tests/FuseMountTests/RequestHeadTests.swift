import CFuse3
import Testing

@testable import FuseMount

struct RequestHeadTests {
    private func head(_ kind: RequestKind, from caller: UInt32, size: UInt32 = 4096) -> RequestHead
    {
        var bytes = [UInt8](repeating: 0, count: 80)
        func put(_ word: UInt32, at offset: Int) {
            withUnsafeBytes(of: word) { bytes.replaceSubrange(offset..<offset + 4, with: $0) }
        }
        put(kind.rawValue, at: Int(HOLDFAST_IN_OPCODE))
        put(caller, at: Int(HOLDFAST_IN_PID))
        put(size, at: Int(HOLDFAST_IN_HEADER + HOLDFAST_READ_IN_SIZE))
        return unsafe bytes.withUnsafeMutableBytes { bytes in
            var buffer = unsafe fuse_buf()
            unsafe buffer.mem = bytes.baseAddress
            unsafe buffer.size = bytes.count
            return unsafe RequestHead(buffer)
        }
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
