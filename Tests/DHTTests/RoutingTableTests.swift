import Base
import Testing
import Wire

@testable import DHT

/// The table, the window, the NAT sampler and the caches by themselves.
struct RoutingTableTests {
    private func endpoint(_ number: Int) -> PackedEndpoint {
        PackedEndpoint(host: 0x0b00_0000 &+ UInt32(number) &* 7919, port: 49737)
    }

    private func table(_ count: Int, own: UInt8 = 1) -> RoutingTable {
        var table = RoutingTable(id: Bytes32(repeating: own), nodesPerNetworkMax: 4)
        for number in 0..<count {
            _ = table.insert(endpoint(number), id: endpoint(number).id, tick: 60)
        }
        return table
    }

    @Test func `rows hold twenty nodes and no more`() {
        let table = table(2000)
        #expect(table.count < 200)
        #expect(table.count > 120)
    }

    @Test func `the closest nodes of the table come in order of distance`() {
        let table = table(500)
        let all = table.mostRecent(1000).map(\.id)
        #expect(all.count == table.count)
        for number: UInt8 in 0..<50 {
            let target = endpoint(5000 + Int(number)).id
            let found = table.closest(to: target).map(\.id)
            let sorted = all.sorted { Distance($0, target) < Distance($1, target) }
            #expect(found == Array(sorted.prefix(20)))
        }
        #expect(table.closest(to: table.id).count == 20)
    }

    @Test func `one network of the internet gets few places in a row, a private one any`() {
        func count(_ network: UInt32) -> Int {
            var table = RoutingTable(id: .zero, nodesPerNetworkMax: 4)
            for host in 1..<200 {
                let node = PackedEndpoint(host: network + UInt32(host), port: 49737)
                _ = table.insert(node, id: node.id, tick: 60)
            }
            return table.count
        }
        #expect(count(0x0808_0800) <= 4 * 9)
        #expect(count(0x0a00_0000) > 80)
        #expect(count(0x7f00_0000) > 80)
    }

    @Test func `old nodes that were heard from lately keep their place`() throws {
        var table = RoutingTable(id: .zero, nodesPerNetworkMax: 20)
        var inRow: [PackedEndpoint] = []
        for number in 0..<400 where Distance(endpoint(number).id, .zero).sharedBits == 0 {
            inRow.append(endpoint(number))
        }
        for node in inRow.prefix(20) { _ = table.insert(node, id: node.id, tick: 60) }
        let newcomer = try #require(inRow.last)
        let insertion = table.insert(newcomer, id: newcomer.id, tick: 60)
        #expect(insertion == .rowFull)
        // All were pinged in this tick.
        #expect(table.replaceable(for: newcomer.id, tick: 60) == nil)
        #expect(table.replaceable(for: newcomer.id, tick: 61) != nil)
        for node in inRow.prefix(20) { table.heard(node.id, tick: 500) }
        #expect(table.replaceable(for: newcomer.id, tick: 505) == nil)
        #expect(table.replaceable(for: newcomer.id, tick: 520) != nil)
    }

    @Test func `moving keeps the nodes, as far as the new rows hold them`() {
        let table = table(300)
        let moved = table.moved(to: endpoint(999).id)
        #expect(moved.id == endpoint(999).id)
        #expect(moved.count > table.count / 2)
        #expect(Set(moved.mostRecent(999).map(\.id)).isSubset(of: table.mostRecent(999).map(\.id)))
    }

    // MARK: Window

    @Test func `the window holds eighty a slot and a hundred and sixty in four`() {
        var window = CongestionWindow(now: .zero)
        for _ in 0..<80 { window.sent(.zero) }
        func isFull(_ now: Instant) -> Bool { window.isFull(now) }
        #expect(isFull(.zero))
        window.settled(.zero)
        #expect(!isFull(.zero))
        window.sent(.zero)
        let next = CongestionWindow.nextSlot(.zero)
        #expect(next == .zero + .milliseconds(750))
        #expect(!isFull(next))
        for _ in 0..<80 { window.sent(next) }
        let third = next + .milliseconds(750)
        #expect(isFull(third))
        #expect(!isFull(.zero + .milliseconds(3000)))
    }

    // MARK: NAT sampler

    private func sampler(_ addresses: [(UInt32, UInt16)]) -> NATSampler {
        var sampler = NATSampler()
        for (host, port) in addresses { sampler.add(PackedEndpoint(host: host, port: port)) }
        return sampler
    }

    @Test func `nodes that agree give host and port, those that differ in ports the host`() {
        #expect(sampler([]).host == nil)
        let one = sampler([(1, 5)])
        #expect(one.host == 1 && one.port == 5)
        let random = sampler((0..<10).map { (1, UInt16(1000 + $0)) })
        #expect(random.host == 1 && random.port == 0)
        let mixed = sampler((0..<10).map { (UInt32($0), 5) })
        #expect(mixed.host == nil)
        // One liar among eight changes nothing, and one among two everything.
        let liar = sampler([(1, 5), (1, 5), (1, 5), (9, 9), (1, 5), (1, 5), (1, 5), (1, 5)])
        #expect(liar.host == 1 && liar.port == 5)
        #expect(sampler([(1, 5), (9, 9)]).host == nil)
    }

    @Test func `a new address takes over after the old samples are gone`() {
        var changed = sampler((0..<20).map { _ in (1, 5) })
        var heard = 0
        while changed.host != 2, heard < 100 {
            changed.add(PackedEndpoint(host: 2, port: 6))
            heard += 1
        }
        #expect(heard == 13)
        #expect(changed.port == 6)
        #expect(changed.sampleCount == 16)
    }

    // MARK: Caches

    @Test func `an entry lives for two thirds to four thirds of the age`() {
        func isThere(inserted: Int64, read: Int64, touching: [Int64] = []) -> Bool {
            var cache = GenerationalCache<Int, Int>(entries: 100, age: .seconds(30), now: .zero)
            cache.insert(1, 1, now: .zero + .seconds(inserted))
            for time in touching { _ = cache.touch(1, now: .zero + .seconds(time)) }
            cache.age(.zero + .seconds(read))
            return cache.peek(1) != nil
        }
        for inserted: Int64 in 0..<60 {
            #expect(isThere(inserted: inserted, read: inserted + 20))
            #expect(!isThere(inserted: inserted, read: inserted + 40))
            #expect(
                isThere(
                    inserted: inserted, read: inserted + 60,
                    touching: [inserted + 19, inserted + 38, inserted + 57]))
        }
    }

    @Test func `a cache holds as many entries and bytes as it may`() {
        var cache = GenerationalCache<Int, Int>(
            entries: 100, bytes: 10_000, age: .seconds(30), now: .zero)
        for number in 0..<1000 { cache.insert(number, 1, size: 10, now: .zero) }
        #expect(cache.count <= 100)
        #expect(cache.peek(999) == 1 && cache.peek(0) == nil)
        for number in 0..<1000 { cache.insert(number, 1, size: 1000, now: .zero) }
        #expect(cache.count <= 10)
    }
}
