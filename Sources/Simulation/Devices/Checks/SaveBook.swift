internal import Base

/// A version's identity on every device.
struct VersionName: Hashable {
    let log: Bytes32
    let block: UInt64
    let index: Int
}

/// What users did, as they would tell it: which saves they made, what they had seen when they made
/// them, and what they removed. Knows nothing of operations, heads or merges.
struct SaveBook {
    struct Save {
        let device: Int
        let bytes: [UInt8]
        /// The same for who has no chunks: the content as a version carries it.
        let content: [UInt8]
        /// A word that stands in no other save's bytes; nil where bytes are shared.
        let marker: String?
        /// The saves whose bytes the program had been shown.
        let seen: Set<Int>
        var names: [VersionName]
        /// Whether a crash took it back before anybody was promised it would stay.
        var isLost = false
    }

    private struct Removal {
        let save: Int
        let device: Int
        /// The least block of the device's log that it can be in.
        let block: UInt64
    }

    private(set) var saves: [Save] = []
    /// Mostly one; more where saves had equal bytes.
    private var numbers: [VersionName: [Int]] = [:]
    private var sameBytes: [[UInt8]: [Int]] = [:]
    private var sameContent: [[UInt8]: [Int]] = [:]
    private var removals: [Removal] = []
    /// Saves that nothing showed when all had agreed.
    private var buried: Set<Int> = []

    mutating func note(_ save: Save) -> Int {
        let number = saves.count
        saves.append(save)
        for name in save.names { numbers[name, default: []].append(number) }
        sameBytes[save.bytes, default: []].append(number)
        sameContent[save.content, default: []].append(number)
        return number
    }

    mutating func name(_ number: Int, _ name: VersionName) {
        saves[number].names.append(name)
        numbers[name, default: []].append(number)
    }

    /// The saves that are shown where these versions, this content or these bytes are.
    func numbers(of names: [VersionName], content: [UInt8], bytes: [UInt8]?) -> Set<Int> {
        Set(
            names.flatMap { numbers[$0] ?? [] } + (sameContent[content] ?? [])
                + (bytes.flatMap { sameBytes[$0] } ?? []))
    }

    func number(of name: VersionName) -> Int? { numbers[name]?.first }

    func save(named name: VersionName) -> Save? { number(of: name).map { saves[$0] } }

    mutating func noteRemoval(of seen: Set<Int>, by device: Int, inBlock block: UInt64) {
        for save in seen.sorted() {
            removals.append(Removal(save: save, device: device, block: block))
        }
    }

    /// A device lost what it had received and not synced: until it hears of it again it may, rightly,
    /// give life to what all others know to be removed.
    mutating func forgetBurials() { buried = [] }

    /// A device stopped, and its log has this length now.
    mutating func noteCrash(of device: Int, length: UInt64) {
        removals.removeAll { $0.device == device && $0.block >= length }
        for number in saves.indices where saves[number].device == device {
            let gone = saves[number].names.filter { $0.block >= length }
            guard !gone.isEmpty else { continue }
            saves[number].names.removeAll { $0.block >= length }
            for name in gone { numbers[name]?.removeAll { $0 == number } }
            if saves[number].names.isEmpty { saves[number].isLost = true }
        }
    }

    /// The saves that are neither shown, nor under something that came after them, nor removed by
    /// somebody who had seen them.
    func missing(shown: Set<Int>) -> [Int] {
        var accounted = shown.union(removals.map(\.save))
        for (number, save) in saves.enumerated().reversed()
        where accounted.contains(number) && !save.isLost {
            accounted.formUnion(save.seen)
        }
        return saves.indices.filter { !accounted.contains($0) && !saves[$0].isLost }
    }

    /// Everybody agrees on what shows: nothing else may ever show again.
    ///
    /// - Returns: what was dead and shows.
    mutating func bury(allBut shown: Set<Int>) -> [Int] {
        let risen = shown.intersection(buried).sorted()
        buried = Set(saves.indices).subtracting(shown)
        return risen
    }
}
