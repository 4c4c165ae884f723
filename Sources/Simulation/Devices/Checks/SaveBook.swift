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
    private var markers: [[UInt8]: Int] = [:]
    private var removals: [Removal] = []
    /// Saves that nothing showed when all had agreed.
    private var buried: Set<Int> = []

    mutating func note(_ save: Save) -> Int {
        let number = saves.count
        saves.append(save)
        for name in save.names { numbers[name, default: []].append(number) }
        sameBytes[save.bytes, default: []].append(number)
        sameContent[save.content, default: []].append(number)
        if let marker = save.marker { markers[Array(marker.utf8)] = number }
        return number
    }

    mutating func name(_ number: Int, _ name: VersionName) {
        saves[number].names.append(name)
        numbers[name, default: []].append(number)
    }

    /// The saves that are shown where these versions, these contents or these bytes are.
    func numbers(of names: [VersionName], contents: [[UInt8]], bytes: [UInt8]?) -> Set<Int> {
        Set(
            names.flatMap { numbers[$0] ?? [] } + contents.flatMap { sameContent[$0] ?? [] }
                + (bytes.flatMap { sameBytes[$0] } ?? []))
    }

    /// The saves whose bytes were succeeded by others of these.
    func succeeded(by numbers: some Sequence<Int>) -> Set<Int> {
        var all: Set<Int> = []
        var waiting = numbers.flatMap { saves[$0].seen }
        while let number = waiting.popLast() {
            if all.insert(number).inserted { waiting += saves[number].seen }
        }
        return all
    }

    /// The saves whose word stands in the bytes: for when versions have no name that all devices know.
    func numbers(toldBy bytes: [UInt8]) -> Set<Int> {
        Set(bytes.split { $0 == 0x20 || $0 == 0x0a || $0 == 0 }.compactMap { markers[Array($0)] })
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
    mutating func noteCrash(of device: Int, log: Bytes32, length: UInt64) {
        removals.removeAll { $0.device == device && $0.block >= length }
        // Another device's save has a name here too where this one chose it.
        for number in saves.indices {
            let gone = saves[number].names.filter { $0.log == log && $0.block >= length }
            guard !gone.isEmpty else { continue }
            saves[number].names.removeAll(where: gone.contains)
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
