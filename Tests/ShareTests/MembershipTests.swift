import Base
import Crypto
import FileTree
import Testing

@testable import Share

/// Who is a member follows from the set of operations, whatever the order in which they came.
@Suite struct MembershipTests {
    /// One operation of a log, and which others its author had seen.
    private struct Fact {
        var name: String
        var author: Bytes32
        var block: UInt64
        var time: UInt64
        var operation: Operation
        var needs: [String]
    }

    private static func key(_ letter: Character) -> Bytes32 {
        Bytes32(repeating: letter.asciiValue ?? 0)
    }

    private static func device(_ letter: Character) -> Bytes32 {
        Bytes32(repeating: (letter.asciiValue ?? 0) | 0x80)
    }

    private static func admit(
        _ letter: Character, _ role: MemberRole, by author: Character, _ block: UInt64,
        at time: UInt64,
        needs: [String]
    ) -> Fact {
        Fact(
            name: "\(author)+\(letter)", author: key(author), block: block, time: time,
            operation: .admit(
                .init(
                    device: device(letter), log: key(letter), role: role,
                    name: Array("\(letter)".utf8))), needs: needs)
    }

    private static func revoke(
        _ letter: Character, _ length: UInt64, by author: Character, _ block: UInt64,
        at time: UInt64,
        needs: [String]
    ) -> Fact {
        Fact(
            name: "\(author)-\(letter)", author: key(author), block: block, time: time,
            operation: .revoke(.init(device: device(letter), length: length)), needs: needs)
    }

    private static func retire(
        _ letter: Character, by author: Character, _ block: UInt64, at time: UInt64, needs: [String]
    ) -> Fact {
        Fact(
            name: "\(author)~\(letter)", author: key(author), block: block, time: time,
            operation: .retire(.init(device: device(letter))), needs: needs)
    }

    /// Founder f; owners a and b, writers x and z; all have seen all of it.
    private static let beginning = [
        admit("f", .owner, by: "f", 0, at: 1, needs: []),
        admit("a", .owner, by: "f", 1, at: 2, needs: ["f+f"]),
        admit("b", .owner, by: "f", 2, at: 3, needs: ["f+a"]),
        admit("x", .writer, by: "f", 3, at: 4, needs: ["f+b"]),
        admit("z", .writer, by: "f", 4, at: 5, needs: ["f+x"]),
    ]

    /// What a fact's block has seen: the blocks of all that it needs, and `more`.
    private func seen(by fact: Fact, among facts: [Fact], more: [Bytes32: UInt64])
        -> [Bytes32: UInt64]
    {
        var seen: [Bytes32: UInt64] = more
        var waiting = fact.needs
        var known: Set<String> = []
        while let name = waiting.popLast() {
            guard known.insert(name).inserted, let need = facts.first(where: { $0.name == name })
            else { continue }
            seen[need.author] = max(seen[need.author] ?? 0, need.block + 1)
            waiting += need.needs
        }
        return seen
    }

    private func apply(
        _ facts: [Fact], to membership: inout Membership, more: [Bytes32: UInt64]
    ) {
        for fact in facts {
            let id = OperationID(writer: .none, block: fact.block, index: 0)
            _ = membership.apply(
                fact.operation, stamp: Stamp(time: HybridTime(rawValue: fact.time), operation: id),
                author: fact.author, seen: seen(by: fact, among: facts, more: more))
        }
    }

    /// The facts in an order in which they can arrive.
    private func shuffled(_ facts: [Fact], _ random: inout SeededRandom) -> [Fact] {
        var rest = facts
        var result: [Fact] = []
        while !rest.isEmpty {
            let ready = rest.indices.filter { index in
                rest[index].needs.allSatisfy { name in result.contains { $0.name == name } }
            }
            result.append(rest.remove(at: ready.randomElement(using: &random)!))
        }
        return result
    }

    /// Applies the facts in many orders, and expects one result.
    private func membership(
        _ facts: [Fact], more: [Bytes32: UInt64] = [:], seed: UInt64 = 1
    ) throws -> Membership {
        let all = Self.beginning + facts
        var first: Membership?
        var random = SeededRandom(seed: seed)
        for round in 0..<60 {
            var membership = Membership(foundingLog: Self.key("f"))
            apply(shuffled(all, &random), to: &membership, more: more)
            let known = first ?? membership
            #expect(membership == known, "seed \(seed), round \(round)")
            let stored = try Membership(
                decoding: membership.encoded, foundingLog: Self.key("f"))
            #expect(stored == membership, "seed \(seed), round \(round)")
            first = known
        }
        return first!
    }

    private func length(_ letter: Character, in membership: Membership) -> UInt64 {
        membership.length(of: Self.key(letter))
    }

    @Test func `who was let in by a block that was written again was let in by the new one`() throws
    {
        let facts = [
            Self.admit("y", .writer, by: "x", 1, at: 10, needs: ["f+x"]),
            Self.admit("v", .writer, by: "x", 5, at: 11, needs: ["x+y"]),
        ]
        var membership = try membership(facts)
        membership.follow { order in
            guard order.writer == Self.key("x"), order.block >= 4 else { return order }
            return OperationOrder(time: order.time, writer: Self.key("z"), block: 0, index: 0)
        }
        #expect(membership.admission(of: Self.key("y")).map { $0 == (Self.key("x"), 1) } == true)
        #expect(membership.admission(of: Self.key("v")).map { $0 == (Self.key("z"), 0) } == true)
        // As one who never heard of the other block.
        var other = Membership(foundingLog: Self.key("f"))
        let again = Self.admit("v", .writer, by: "z", 0, at: 11, needs: ["x+y"])
        apply(Self.beginning + [facts[0], again], to: &other, more: [:])
        #expect(membership == other)
    }

    @Test func `a revoked log counts up to the cut, and nobody whom it admitted later`() throws {
        let membership = try membership(
            [
                Self.admit("y", .writer, by: "x", 1, at: 10, needs: ["f+z"]),
                Self.admit("v", .writer, by: "x", 5, at: 11, needs: ["x+y"]),
                Self.admit("w", .writer, by: "v", 0, at: 12, needs: ["x+v"]),
                Self.revoke("x", 3, by: "a", 0, at: 20, needs: ["f+z", "x+y"]),
            ], more: [Self.key("x"): 9])
        #expect(length("x", in: membership) == 3)
        #expect(membership.end(of: Self.key("x"))?.kind == .revoked)
        #expect(membership.isMember(log: Self.key("y")))
        #expect(!membership.isMember(log: Self.key("v")))
        #expect(!membership.isMember(log: Self.key("w")))
        #expect(length("v", in: membership) == 0)
    }

    @Test func `of concurrent revocations the later cut holds`() throws {
        let facts = [
            Self.revoke("x", 3, by: "a", 0, at: 20, needs: ["f+z"]),
            Self.revoke("x", 7, by: "b", 0, at: 21, needs: ["f+z"]),
        ]
        #expect(length("x", in: try membership(facts, more: [Self.key("x"): 9])) == 7)
    }

    @Test func `who knows of a cut does not make a later one`() throws {
        let facts = [
            Self.revoke("x", 3, by: "a", 0, at: 20, needs: ["f+z"]),
            Self.revoke("x", 7, by: "b", 0, at: 21, needs: ["a-x"]),
        ]
        #expect(length("x", in: try membership(facts, more: [Self.key("x"): 9])) == 3)
    }

    @Test func `no cut is later than what its author had seen`() throws {
        let facts = [Self.revoke("x", 100, by: "a", 0, at: 20, needs: ["f+z"])]
        #expect(length("x", in: try membership(facts, more: [Self.key("x"): 9])) == 9)
    }

    @Test(arguments: [(10, 20), (20, 10)] as [(UInt64, UInt64)])
    func `of two owners who revoke each other the one admitted earlier stays`(
        _ times: (UInt64, UInt64)
    ) throws {
        let membership = try membership(
            [
                Self.revoke("b", 1, by: "a", 2, at: times.0, needs: ["f+z"]),
                Self.revoke("a", 1, by: "b", 2, at: times.1, needs: ["f+z"]),
            ], more: [Self.key("a"): 1, Self.key("b"): 1])
        #expect(membership.end(of: Self.key("a")) == nil)
        #expect(length("b", in: membership) == 1)
    }

    @Test func `a ring of revocations has one outcome`() throws {
        let membership = try membership(
            [
                Self.admit("c", .owner, by: "f", 5, at: 6, needs: ["f+z"]),
                Self.revoke("b", 1, by: "a", 2, at: 30, needs: ["f+c"]),
                Self.revoke("c", 1, by: "b", 2, at: 20, needs: ["f+c"]),
                Self.revoke("a", 1, by: "c", 2, at: 10, needs: ["f+c"]),
            ], more: [Self.key("a"): 1, Self.key("b"): 1, Self.key("c"): 1])
        #expect(length("a", in: membership) == .max)
        #expect(length("b", in: membership) == 1)
        #expect(length("c", in: membership) == .max)
    }

    @Test func `what a revoked owner revoked after the cut does not count`() throws {
        let membership = try membership(
            [
                Self.revoke("x", 2, by: "b", 4, at: 10, needs: ["f+z"]),
                Self.revoke("b", 1, by: "f", 7, at: 20, needs: ["f+z"]),
            ], more: [Self.key("x"): 9, Self.key("b"): 1])
        #expect(membership.end(of: Self.key("x")) == nil)
        #expect(length("b", in: membership) == 1)
    }

    @Test func `only owners revoke, and nobody itself`() throws {
        let membership = try membership(
            [
                Self.revoke("x", 2, by: "z", 4, at: 10, needs: ["f+z"]),
                Self.revoke("a", 2, by: "a", 4, at: 11, needs: ["f+z"]),
                Self.retire("x", by: "z", 5, at: 12, needs: ["z-x"]),
            ], more: [Self.key("x"): 9, Self.key("a"): 4])
        #expect(!membership.hasEndings)
        var refusing = Membership(foundingLog: Self.key("f"))
        apply(Self.beginning, to: &refusing, more: [:])
        let stamp = Stamp(
            time: HybridTime(rawValue: 9),
            operation: OperationID(writer: .none, block: 0, index: 0))
        let isAllowed = refusing.apply(
            .revoke(.init(device: Self.device("x"), length: 1)), stamp: stamp,
            author: Self.key("z"))
        #expect(!isAllowed)
    }

    @Test func `a device that leaves ends its log with that block`() throws {
        let membership = try membership([Self.retire("x", by: "x", 6, at: 10, needs: ["f+z"])])
        #expect(length("x", in: membership) == 7)
        #expect(membership.end(of: Self.key("x"))?.kind == .left)
    }

    @Test func `a retired log has no length of its own`() throws {
        let membership = try membership([Self.retire("x", by: "a", 6, at: 10, needs: ["f+z"])])
        #expect(length("x", in: membership) == .max)
        #expect(membership.end(of: Self.key("x"))?.kind == .retired)
        #expect(membership.endingBlocks.map(\.blocks) == [7])
    }

    @Test func `owners who retire each other: the one admitted earlier stays`() throws {
        let membership = try membership([
            Self.retire("b", by: "a", 6, at: 20, needs: ["f+z"]),
            Self.retire("a", by: "b", 6, at: 10, needs: ["f+z"]),
        ])
        #expect(membership.end(of: Self.key("a")) == nil)
        #expect(membership.end(of: Self.key("b"))?.kind == .retired)
    }

    @Test func `an invite of a cut block lets nobody in`() throws {
        var membership = Membership(foundingLog: Self.key("f"))
        apply(Self.beginning, to: &membership, more: [:])
        let invite = Operation.Invite(
            publicKey: Self.key("i"), role: .writer, expiresMilliseconds: 0, uses: .max)
        let isAllowed = membership.apply(
            .invite(invite),
            stamp: Stamp(
                time: HybridTime(rawValue: 9),
                operation: OperationID(writer: .none, block: 5, index: 0)),
            author: Self.key("x"))
        #expect(isAllowed && membership.invite(Self.key("i")) != nil)
        apply(
            [Self.revoke("x", 3, by: "a", 0, at: 20, needs: [])], to: &membership,
            more: [Self.key("x"): 9])
        #expect(membership.invite(Self.key("i")) == nil)
        let stored = try Membership(decoding: membership.encoded, foundingLog: Self.key("f"))
        #expect(stored.invite(Self.key("i")) == nil)
    }

    @Test func `random owners at war end in one state`() throws {
        for seed in 1...12 as ClosedRange<UInt64> {
            var random = SeededRandom(seed: seed)
            var facts: [Fact] = []
            for (index, letter) in ("c"..."e" as ClosedRange<Character>).enumeratedLetters {
                facts.append(
                    Self.admit(
                        letter, .owner, by: ["f", "a", "b"][index], UInt64(8 + index),
                        at: UInt64(10 + index), needs: ["f+z"]))
            }
            let owners: [Character] = ["f", "a", "b", "c", "d", "e"]
            var more: [Bytes32: UInt64] = [:]
            for letter in owners + ["x", "z"] { more[Self.key(letter)] = 40 }
            for number in 0..<6 {
                let author = owners.randomElement(using: &random)!
                let target = (owners + ["x"]).randomElement(using: &random)!
                guard target != author else { continue }
                var fact = Self.revoke(
                    target, UInt64.random(in: 5...25, using: &random), by: author,
                    UInt64(12 + number), at: UInt64.random(in: 20...60, using: &random),
                    needs: facts.map(\.name).filter { $0.contains("+") } + ["f+z"])
                fact.name += "\(number)"
                facts.append(fact)
            }
            _ = try membership(facts, more: more, seed: seed)
        }
    }

    @Test func `what earlier releases stored is read`() throws {
        var membership = Membership(foundingLog: Self.key("f"))
        apply(Self.beginning, to: &membership, more: [:])
        // Nothing has been said that they could not store: it is stored as they did.
        let stored = try Membership(decoding: membership.encoded, foundingLog: Self.key("f"))
        #expect(stored == membership)
        var other = stored
        apply(
            [Self.revoke("x", 3, by: "a", 0, at: 20, needs: [])], to: &other,
            more: [Self.key("x"): 9])
        #expect(other.length(of: Self.key("x")) == 3)
        #expect(other.logs.count == 5)
    }

    /// As when a device that goes on under another log lets somebody in with what it writes again, who lets it in.
    @Test
    func `who is a member can be shown where two logs' first admissions are each other's word`()
        throws
    {
        let (key, time) = (KeyPair(seed: Self.key("q")), UInt64(10))
        var membership = Membership(foundingLog: Self.key("f"))
        apply(Self.beginning, to: &membership, more: [:])
        func admit(_ letter: Character, by author: Character, at time: UInt64, after: Character?) {
            let device = letter == "q" ? key.publicKey : Self.device(letter)
            let succession = after.map { predecessor in
                Operation.Succession(
                    predecessor: Self.key(predecessor),
                    signature: key.sign(
                        Operation.Succession.signable(
                            predecessor: Self.key(predecessor), log: Self.key(letter),
                            device: device)))
            }
            let isAllowed = membership.apply(
                .admit(
                    .init(
                        device: device, log: Self.key(letter), role: .writer, name: [],
                        succession: succession)),
                stamp: Stamp(
                    time: HybridTime(rawValue: time),
                    operation: OperationID(writer: .none, block: time, index: 0)),
                author: Self.key(author))
            #expect(isAllowed)
        }
        admit("q", by: "f", at: time, after: nil)
        // Its new log "r" lets "y" in, and "y" lets "r" in; "x" lets "y" in too, later.
        admit("y", by: "x", at: time + 5, after: nil)
        admit("r", by: "y", at: time + 6, after: "q")
        admit("y", by: "r", at: time + 1, after: nil)
        #expect(membership.admission(of: Self.key("y")).map { $0.log == Self.key("r") } == true)
        #expect(membership.admission(of: Self.key("r")).map { $0.log == Self.key("y") } == true)
        let shown = try #require(membership.showing(Self.key("r")))
        #expect(shown.map(\.member.log) == ["x", "q", "y", "r"].map(Self.key))
        #expect(shown.map(\.order.writer) == ["f", "f", "x", "y"].map(Self.key))
        #expect(membership.showing(Self.key("f"))?.isEmpty == true)
        #expect(membership.showing(Self.key("?")) == nil)
        #expect(
            Set(membership.showing.map(\.member.log))
                == Set(membership.logs).subtracting([Self.key("f")]))
        // Whoever is shown just these blocks finds that it is one.
        var other = Membership(foundingLog: Self.key("f"))
        apply([Self.beginning[0]], to: &other, more: [:])
        for admission in shown {
            let signed = admission.predecessor.map {
                Operation.Succession(
                    predecessor: $0,
                    signature: key.sign(
                        Operation.Succession.signable(
                            predecessor: $0, log: admission.member.log,
                            device: admission.member.device)))
            }
            let isAllowed = other.apply(
                .admit(
                    .init(
                        device: admission.member.device, log: admission.member.log,
                        role: admission.member.role, name: [], succession: signed)),
                stamp: Stamp(
                    time: HybridTime(rawValue: admission.order.time),
                    operation: OperationID(writer: .none, block: admission.order.block, index: 0)),
                author: admission.order.writer)
            #expect(isAllowed)
        }
        #expect(other.isMember(log: Self.key("r")))
    }

    // MARK: Many

    private static func number(_ index: Int, _ mark: UInt8) -> Bytes32 {
        var bytes = [UInt8](repeating: mark, count: 32)
        for place in 0..<4 { bytes[place] = UInt8(truncatingIfNeeded: index >> (8 * place)) }
        return Bytes32(bytes)!
    }

    /// - Parameter isOwner: whether one is admitted as an owner.
    private static func crowd(_ count: Int, isOwner: (Int) -> Bool) -> Membership {
        var membership = Membership(foundingLog: number(0, 0xf0))
        for index in 0..<count {
            let id = OperationID(writer: .none, block: UInt64(index), index: 0)
            let admission = Operation.Admit(
                device: number(index, 0xd0), log: number(index, 0xf0),
                role: index == 0 || isOwner(index) ? .owner : .writer, name: [])
            _ = membership.apply(
                .admit(admission),
                stamp: Stamp(time: HybridTime(rawValue: UInt64(index + 1)), operation: id),
                author: number(0, 0xf0))
        }
        return membership
    }

    private static func ending(
        _ target: Int, by author: Int, _ block: UInt64, at time: UInt64, cut: UInt64?,
        seen: [(Int, UInt64)] = []
    ) -> Ending {
        Ending(
            kind: cut.map { .revoke($0) } ?? .retire, device: number(target, 0xd0),
            order: OperationOrder(
                time: time, writer: number(author, 0xf0), block: block, index: 0),
            seen: seen.map { .init(log: number($0.0, 0xf0), blocks: $0.1) }
                .sorted { $0.log < $1.log })
    }

    /// Few members who cut each other off in every way: the same as without any shortcut.
    @Test func `cuts are decided as if each was weighed against all`() {
        for seed in UInt64(0)..<400 {
            var random = SeededRandom(seed: seed)
            let count = Int.random(in: 3...8, using: &random)
            var membership = Self.crowd(count) { $0 < 5 }
            // Some let others in, and others again.
            for index in count..<count + 3 {
                let author = Int.random(in: 0..<index, using: &random)
                let id = OperationID(
                    writer: .none, block: UInt64.random(in: 0...6, using: &random), index: 1)
                let time = HybridTime(rawValue: UInt64.random(in: 20...40, using: &random))
                _ = membership.apply(
                    .admit(
                        .init(
                            device: Self.number(index, 0xd0), log: Self.number(index, 0xf0),
                            role: index % 2 == 0 ? .owner : .writer, name: [])),
                    stamp: Stamp(time: time, operation: id), author: Self.number(author, 0xf0))
            }
            var endings: [Ending] = []
            for place in 0..<Int.random(in: 1...7, using: &random) {
                let author = Int.random(in: 0..<count + 3, using: &random)
                let seen = (0..<count + 3).filter { $0 != author }.map {
                    ($0, UInt64.random(in: 0...9, using: &random))
                }
                let cut: UInt64? =
                    Int.random(in: 0..<5, using: &random) == 0
                    ? nil : UInt64.random(in: 0...9, using: &random)
                endings.append(
                    Self.ending(
                        Int.random(in: 0..<count + 3, using: &random), by: author,
                        UInt64.random(in: 1...8, using: &random), at: UInt64(50 + place), cut: cut,
                        seen: seen))
            }
            membership.endings = endings
            var naive = membership
            membership.evaluate()
            naive.evaluateNaively()
            #expect(membership == naive, "seed \(seed): \(endings)")
        }
    }

    /// What an owner who means harm can write: looked at so often that nobody waits for long. Times are printed, not
    /// expected.
    @Test(arguments: [1_000, 8_000], ["writers", "owners", "ring"])
    func `many endings are no burden`(_ count: Int, _ shape: String) {
        let owners = count / 100
        var membership = Self.crowd(shape == "writers" ? 4000 : owners + 40) {
            shape != "writers" && $0 < owners + 1 || $0 < 100
        }
        var endings: [Ending] = []
        for place in 0..<count {
            let author = 1 + place % (shape == "writers" ? 80 : owners)
            let target =
                switch shape {
                case "writers": 100 + place % 3900
                case "owners": (author + 1 + place / owners) % (owners + 40)
                default: 1 + author % owners
                }
            endings.append(
                Self.ending(
                    target, by: author, UInt64(1 + place / 80), at: UInt64(10_000 + place),
                    cut: UInt64(place % 7)))
        }
        membership.endings = endings
        let clock = ContinuousClock()
        let time = clock.measure { membership.evaluate() }
        print("\(count) endings, \(shape): \(time)")
        #expect(shape == "ring" || !membership.ends.isEmpty)
        var shuffled = membership
        shuffled.evaluate()
        #expect(shuffled == membership)
    }
}

extension ClosedRange<Character> {
    fileprivate var enumeratedLetters: [(Int, Character)] {
        guard let low = lowerBound.asciiValue, let high = upperBound.asciiValue else { return [] }
        return (low...high).enumerated().map { ($0, Character(UnicodeScalar($1))) }
    }
}
