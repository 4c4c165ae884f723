import Base
import FileTree
import Testing

/// What the view promises to people, whatever devices do.
@Suite struct PromiseTests {
    @Test(arguments: [-86_400_000, 0, 86_400_000] as [Int64])
    func `one person on two devices never sees a copy`(_ skew: Int64) throws {
        let a = try Device("a")
        let b = try Device("b", strangers: 1)
        b.wallSkew = skew
        var rng = SeededRandom(seed: UInt64(bitPattern: skew))
        try a.make(.directory, "d")
        try a.write("d/f", "first")
        for save in 0..<150 {
            let device = save.isMultiple(of: 2) ? a : b
            try device.pull(from: device === a ? b : a, using: &rng)
            let wall = Device.wall + UInt64(save) * 1000
            switch save % 5 {
            case 0, 1: try device.write("d/f", "save \(save)", wall: wall)
            case 2:
                // A temporary file over the old one.
                try device.write("d/.tmp", "save \(save)", wall: wall)
                try device.rename("d/.tmp", to: "d/f", wall: wall)
            case 3:
                // The old one kept aside for a moment.
                try device.rename("d/f", to: "d/f~", wall: wall)
                try device.write("d/f", "save \(save)", wall: wall)
                try device.remove("d/f~", wall: wall)
            default:
                try device.remove("d/f", wall: wall)
                try device.write("d/f", "save \(save)", wall: wall)
            }
            #expect(try device.paths() == ["d/", "d/f"], "save \(save)")
            #expect(try device.text("d/f") == "save \(save)")
            #expect(device.tree.totals.conflicts == 0)
        }
    }

    @Test(arguments: 0..<6)
    func `no save is lost, through any partitions`(_ seed: Int) throws {
        var rng = SeededRandom(seed: UInt64(seed))
        let devices = try (0..<3).map { try Device("device \($0)", strangers: $0) }
        for name in ["a", "b", "c"] { try devices[0].write(name, "first \(name)") }
        try converge(devices)
        var saves: [String] = []
        for step in 0..<120 {
            let device = devices[Int.random(in: 0..<3, using: &rng)]
            if Int.random(in: 0..<4, using: &rng) == 0 {
                let other = devices[Int.random(in: 0..<3, using: &rng)]
                let limit = Int.random(in: 1..<6, using: &rng)
                if other !== device { try device.pull(from: other, limit: limit, using: &rng) }
                continue
            }
            let files = try device.tree.list(.root).filter { item in
                try !device.tree.node(item.node)!.isCopy
            }
            let file = files[Int.random(in: 0..<files.count, using: &rng)]
            let text = "save \(step)"
            try device.write(String(decoding: file.name, as: UTF8.self), text)
            saves.append(text)
        }
        try converge(devices)
        for device in devices {
            var safe: Set<String> = []
            for item in try device.tree.list(.root) {
                let object = try device.tree.node(item.node)!.object
                let versions = try device.tree.versions(of: object)
                var pending = try device.tree.content(of: item.node)!.versions
                while let id = pending.popLast() {
                    let version = versions.first { $0.id == id }!
                    safe.insert(String(decoding: version.content, as: UTF8.self))
                    pending += version.parents
                }
            }
            #expect(saves.allSatisfy(safe.contains), "seed \(seed)")
        }
    }

    @Test func `a version over what is another thing here stands by itself`() throws {
        let a = try Device("a")
        let b = try Device("b", strangers: 1)
        let file = try a.make(.file, "f")
        try a.write(file, "first", parents: [])
        let other = try a.write("g", "other")
        // As who has another history of a log would name it: its own version is over nothing that is here.
        try a.write(file, "second", parents: [other])
        try converge([a, b])
        for device in [a, b] {
            let versions = try device.tree.versions(of: device.node("f").object)
            #expect(
                versions.map { String(decoding: $0.content, as: UTF8.self) } == ["first", "second"])
            #expect(versions.allSatisfy { $0.isHead && $0.parents.isEmpty })
            #expect(try device.text("g") == "other")
        }
        #expect(a.tree.digest == b.tree.digest)
    }

    @Test func `after a block from the end of time nothing is written, and nothing traps`() throws {
        let writers = WriterTable()
        let own = writers.insert(Device.key(named: "own"))!
        let other = writers.insert(Device.key(named: "other"))!
        let tree = try FileTree(storage: MemoryTreeStorage(), writers: writers)
        let last = HybridTime(rawValue: .max)
        tree.begin()
        let block = Block(time: last, clock: Clock(), operations: [])
        #expect(try tree.apply(block, from: other, number: 0) == .applied(refused: 0))
        _ = try tree.finish()
        var clock = HybridClock(newest: tree.newestTime)
        let time = clock.next(wallMilliseconds: 1)
        let id = OperationID(writer: own, block: 0, index: 0)
        let make = Operation.Make(kind: .file, mode: 0, uid: 0, gid: 0, created: .epoch)
        #expect(try tree.author(.make(make), id: id, time: time) == nil)
    }

    @Test func `a block can come after thousands of logs`() throws {
        let writers = WriterTable()
        let own = writers.insert(Device.key(named: "own"))!
        var block = Block(time: HybridTime(rawValue: 1), clock: Clock(), operations: [])
        var rng = SeededRandom(seed: 8191)
        while let slot = writers.insert(Bytes32(rng.bytes(32))!) { block.clock[slot] = 7 }
        var encoder = BlockCodec(writer: own)
        var decoder = BlockCodec(writer: own)
        let bytes = try encoder.encode(block, writers: writers)
        #expect(bytes.count < Limits.blockSizeMax)
        #expect(try decoder.decode(bytes.span, writers: writers) == block)
        #expect(try BlockCodec(payload: decoder.payload) == decoder)
    }
}
