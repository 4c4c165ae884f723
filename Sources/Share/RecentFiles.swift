import Base
import FileTree

/// What it takes to see that a rename is a save: which files were made here a moment ago, and
/// what had arrived from elsewhere since.
struct RecentFiles {
    private enum Limits {
        static let departures = 64
        static let links = 64
    }

    private var sequence: UInt64 = 0
    private var births: [ObjectID: Birth] = [:]
    private var birthOrder: [ObjectID] = []
    private var arrivals: [VersionID: UInt64] = [:]
    private var arrivalOrder: [VersionID] = []
    private var names: [NameKey: UInt64] = [:]
    private var nameOrder: [(name: NameKey, sequence: UInt64)] = []

    private struct Birth {
        let sequence: UInt64
        var history: History
    }

    /// When a file was made, and when it last got a version.
    struct History {
        let born: Instant
        var written: Instant
    }

    mutating func born(_ object: ObjectID, at now: Instant) {
        sequence += 1
        births[object] = Birth(sequence: sequence, history: History(born: now, written: now))
        birthOrder.append(object)
        if birthOrder.count > 2 * Engine.Limits.recentFiles {
            for old in birthOrder.prefix(Engine.Limits.recentFiles) { births[old] = nil }
            birthOrder.removeFirst(Engine.Limits.recentFiles)
        }
    }

    mutating func arrived(_ version: VersionID) {
        sequence += 1
        arrivals[version] = sequence
        arrivalOrder.append(version)
        if arrivalOrder.count > 2 * Engine.Limits.recentFiles {
            for old in arrivalOrder.prefix(Engine.Limits.recentFiles) { arrivals[old] = nil }
            arrivalOrder.removeFirst(Engine.Limits.recentFiles)
        }
    }

    /// What files showed that lost their name, where that were several versions; the latest last.
    private var lastShown: [(object: ObjectID, versions: [VersionID])] = []

    /// A name in a directory.
    struct NamePlace: Equatable {
        var parent: ObjectID
        var name: [UInt8]
    }

    /// From where files were renamed lately, the latest last.
    private var lastPlaces: [(object: ObjectID, place: NamePlace)] = []

    mutating func moved(_ object: ObjectID, from place: NamePlace) {
        lastPlaces.append((object, place))
        if lastPlaces.count > Limits.departures { lastPlaces.removeFirst() }
    }

    func lastPlace(of object: ObjectID) -> NamePlace? {
        lastPlaces.last { $0.object == object }?.place
    }

    mutating func departed(_ object: ObjectID, showing versions: [VersionID]) {
        lastShown.removeAll { $0.object == object }
        lastShown.append((object, versions))
        if lastShown.count > Limits.departures { lastShown.removeFirst() }
    }

    /// Nil unless the file has lost its name lately, and showed several versions.
    func lastShown(of object: ObjectID) -> [VersionID]? {
        lastShown.last { $0.object == object }?.versions
    }

    /// A name shows another thing than before, through changes from elsewhere.
    mutating func changed(_ name: NameKey) {
        guard !births.isEmpty else { return }
        sequence += 1
        names[name] = sequence
        nameOrder.append((name, sequence))
        if nameOrder.count > 2 * Engine.Limits.recentFiles {
            // What changed again since stands further back too.
            for old in nameOrder.prefix(Engine.Limits.recentFiles)
            where names[old.name] == old.sequence {
                names[old.name] = nil
            }
            nameOrder.removeFirst(Engine.Limits.recentFiles)
        }
    }

    /// A name shows what somebody here has put there.
    mutating func changedHere(_ name: NameKey) {
        if !names.isEmpty { names[name] = nil }
    }

    /// Whether a name came to show what it shows after the object was made here, and from elsewhere.
    func changed(_ name: NameKey, after object: ObjectID) -> Bool {
        guard let birth = births[object]?.sequence, let change = names[name] else { return false }
        return change > birth
    }

    mutating func written(_ object: ObjectID, at now: Instant) {
        guard !births.isEmpty else { return }
        births[object]?.history.written = now
    }

    /// Nil for what was not made here since the start, or long ago.
    func history(of object: ObjectID) -> History? { births[object]?.history }

    /// Second names that files were given lately, the latest last.
    private var links: [(entry: EntryID, time: Instant)] = []

    mutating func linked(_ entry: EntryID, at now: Instant) {
        links.append((entry, now))
        if links.count > Limits.links { links.removeFirst() }
    }

    func linked(_ entry: EntryID) -> Instant? { links.last { $0.entry == entry }?.time }

    /// Whether a version came from elsewhere after the object was made here.
    func arrived(_ version: VersionID, after object: ObjectID) -> Bool {
        guard let birth = births[object]?.sequence, let arrival = arrivals[version] else {
            return false
        }
        return arrival > birth
    }
}
