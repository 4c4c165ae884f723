import Base
import FileTree
import Testing

@testable import Share

/// The times that operations show are those of their blocks.
@Suite struct BlockTimeTests {
    @Test func `what changes once a second has passed shows no time before it`() throws {
        let network = Network(seed: 11)
        let alice = try network.addDevice("alice")
        network.run(seconds: 2)
        // Just before the turn of a second, and after it: nothing seals the block in between.
        let second = network.time.nanoseconds / 1_000_000_000 + 1
        network.run(seconds: Double(second) - Double(network.time.nanoseconds) / 1e9 - 0.001)
        try alice.mkdir("before")
        let (before, block) = alice.volume.engine.withLock { ($0.open?.time, $0.open?.number) }
        let turn = alice.wallTime().seconds + 1
        network.pass(.milliseconds(2))
        #expect(alice.wallTime().seconds == turn)
        try alice.mkdir("after")
        let open = alice.volume.engine.withLock { $0.open }
        #expect(open?.number == block.map { $0 + 1 })
        #expect(before.map { Int64($0.milliseconds / 1000) } == turn - 1)
        let after = try alice.volume.attributes(of: alice.directory("after"))
        #expect(after.changed.seconds == turn)
        #expect(try alice.volume.attributes(of: .root).modified.seconds == turn)
        // What comes in the same second joins that block.
        try alice.mkdir("again")
        #expect(alice.volume.engine.withLock { $0.open?.number } == open?.number)
    }

    @Test func `a block that is dated ahead of the clock does not end for the time it shows`()
        throws
    {
        let network = Network(seed: 12)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(alice, bob)
        network.run(seconds: 2)
        // Bob's clock is ahead: alice's blocks are dated after his, for longer than a second.
        bob.clockSkew = 5
        try bob.mkdir("ahead")
        network.run(seconds: 1)
        try alice.mkdir("d")
        let block = alice.volume.engine.withLock { $0.open?.number }
        network.pass(.milliseconds(1500))
        try alice.mkdir("e")
        #expect(alice.volume.engine.withLock { $0.open?.number } == block)
    }
}
