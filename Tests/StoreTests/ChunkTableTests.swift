import Base
import Testing

@testable import Store

@Suite struct ChunkTableTests {
    private typealias Location = ChunkTable.Location

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `the table is as a dictionary`(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var table = ChunkTable()
        var expected: [Bytes32: Location] = [:]
        var addresses: [Bytes32] = []
        for step in 0..<20_000 {
            // Phases of growing and of shrinking.
            let isAdding = random.next() % 10 < (step / 4000 % 2 == 0 ? 8 : 3)
            if isAdding || addresses.isEmpty {
                let location = Location(
                    pack: .random(in: 0..<Location.packsMax, using: &random),
                    offset: .random(in: 1..<Location.offsetMax, using: &random),
                    length: .random(in: 0..<Location.lengthMax, using: &random))
                let isNew = random.next() % 5 > 0 || addresses.isEmpty
                let address =
                    isNew
                    ? Bytes32(random.bytes(32)) ?? .zero
                    : addresses[.random(in: 0..<addresses.count, using: &random)]
                if isNew { addresses.append(address) }
                #expect(table.insert(address, at: location) == expected[address])
                expected[address] = location
            } else {
                let place = Int.random(in: 0..<addresses.count, using: &random)
                let address = addresses.remove(at: place)
                table.remove(address)
                table.remove(address)
                expected[address] = nil
            }
            #expect(table.count == expected.count)
            if step % 1000 == 0 {
                for (address, location) in expected { #expect(table[address] == location) }
                #expect(table[Bytes32(random.bytes(32)) ?? .zero] == nil)
            }
        }
        for (address, location) in expected { #expect(table[address] == location) }
    }

    @Test func `an address like no other in its first bytes is found among crowds`() {
        var table = ChunkTable()
        // Equal first words: they all want the same slot.
        let addresses = (0..<200).map { number in
            Bytes32(
                [UInt8](repeating: 1, count: 8) + [UInt8(number)] + [UInt8](repeating: 0, count: 23)
            )
        }.compactMap { $0 }
        for (number, address) in addresses.enumerated() {
            table.insert(address, at: Location(pack: number, offset: 24, length: 0))
        }
        for address in addresses[50..<100] { table.remove(address) }
        for (number, address) in addresses.enumerated() {
            #expect(table[address]?.pack == ((50..<100).contains(number) ? nil : number))
        }
    }
}
