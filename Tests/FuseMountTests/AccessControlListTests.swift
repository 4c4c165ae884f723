import Base
import Testing

@testable import FuseMount

struct AccessControlListTests {
    private typealias List = AccessControlList
    private typealias Entry = AccessControlList.Entry

    private static let minimal = [
        Entry(tag: .owner, permissions: 6), Entry(tag: .owningGroup, permissions: 4),
        Entry(tag: .other, permissions: 0),
    ]
    private static let extended = [
        Entry(tag: .owner, permissions: 7), Entry(tag: .user, permissions: 6, id: 1001),
        Entry(tag: .user, permissions: 0, id: 1002), Entry(tag: .owningGroup, permissions: 5),
        Entry(tag: .group, permissions: 3, id: 70_000), Entry(tag: .mask, permissions: 6),
        Entry(tag: .other, permissions: 1),
    ]

    @Test func `a list is laid out as the kernel has it`() throws {
        let list = try #require(List(Self.minimal))
        let none: [UInt8] = [255, 255, 255, 255]
        #expect(
            list.encoded == [2, 0, 0, 0] + [1, 0, 6, 0] + none + [4, 0, 4, 0] + none
                + [0x20, 0, 0, 0] + none)
        let other = try #require(List(Self.extended))
        #expect(other.encoded[12..<20] == [2, 0, 6, 0, 0xe9, 3, 0, 0])
        #expect(other.encoded[36..<44] == [8, 0, 3, 0, 0x70, 0x11, 1, 0])
        for list in [list, other] { #expect(List(list.encoded) == list) }
    }

    @Test func `what is no list, or breaks a rule, is refused`() throws {
        let good = try #require(List(Self.extended)).encoded
        for count in 0..<good.count { #expect(List(Array(good[..<count])) == nil) }
        #expect(List(good + [0]) == nil)
        #expect(List([1] + good.dropFirst()) == nil)
        #expect(List([2, 0, 0, 0]) == nil)
        // Each entry but one of the named ones is needed, and none may come twice or out of its place.
        for index in Self.extended.indices {
            var less = Self.extended
            less.remove(at: index)
            let isNamed = Self.extended[index].tag.isNamed
            #expect((List(less) != nil) == isNamed, "without \(index)")
            var twice = Self.extended
            twice.insert(twice[index], at: index)
            #expect((List(twice) != nil) == isNamed, "twice \(index)")
            if index > 0, Self.extended[index].tag != Self.extended[index - 1].tag {
                var turned = Self.extended
                turned.swapAt(index, index - 1)
                #expect(List(turned) == nil, "\(index) before its time")
            }
            var wrong = Self.extended
            wrong[index].permissions = 8
            #expect(List(wrong) == nil)
        }
        var nobody = Self.extended
        nobody[1].id = .max
        #expect(List(nobody) == nil)
        #expect(List(Self.minimal + [Entry(tag: .mask, permissions: 7)]) == nil)
        var masked = Self.minimal
        masked.insert(Entry(tag: .mask, permissions: 7), at: 2)
        #expect(List(masked)?.isMinimal == false)
    }

    @Test func `there may be as many entries as fit the kernel's page`() {
        func list(_ users: Int) -> List? {
            var entries = Self.extended.filter { !$0.tag.isNamed }
            entries.insert(
                contentsOf: (0..<users).map {
                    Entry(tag: .user, permissions: 1, id: UInt32($0))
                }, at: 1)
            return List(entries)
        }
        #expect(list(507)?.encoded.count == List.Limits.sizeMax)
        #expect(list(508) == nil)
        #expect(List.Limits.sizeMax <= 4096)
        #expect(List([UInt8](repeating: 2, count: 100_000)) == nil)
    }

    @Test func `random bytes are refused or come back as they were`() {
        let seed: UInt64 = 20_261_122
        var random = SeededRandom(seed: seed)
        var read = 0
        for _ in 0..<20_000 {
            var bytes = List(Self.extended)?.encoded ?? []
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            guard let list = List(bytes) else { continue }
            read += 1
            #expect(List(list.encoded) == list, "seed \(seed)")
            #expect(list.showing(mode: list.mode) == list, "seed \(seed)")
        }
        #expect(read > 5000)
    }

    @Test func `the mode shows owner, mask and others, and is the truth for them`() throws {
        let list = try #require(List(Self.extended))
        #expect(list.mode == 0o761)
        #expect(!list.isMinimal)
        let shown = list.showing(mode: 0o7640)
        #expect(shown.mode == 0o640)
        #expect(shown.entries[3] == Self.extended[3])
        #expect(shown.entries[1] == Self.extended[1])
        let minimal = try #require(List(Self.minimal))
        #expect(minimal.mode == 0o640 && minimal.isMinimal)
        #expect(minimal.showing(mode: 0o705).mode == 0o705)
    }

    @Test func `what is inherited has no more than its maker asked for`() throws {
        let list = try #require(List(Self.extended))
        let made = list.inherited(mode: 0o666)
        #expect(made.mode == 0o660)
        #expect(made.entries[3].permissions == 5)
        #expect(try #require(List(Self.minimal)).inherited(mode: 0o777).mode == 0o640)
        #expect(try #require(List(Self.minimal)).inherited(mode: 0o7077).mode == 0o040)
    }

    @Test func `an unreadable list gives its group nothing`() {
        let shown = AccessControlList.unreadable.showing(mode: 0o775)
        #expect(List(shown.encoded) == shown)
        #expect(shown.mode == 0o775)
        #expect(shown.entries.first { $0.tag == .owningGroup }?.permissions == 0)
    }
}
