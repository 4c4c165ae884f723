internal import Share

/// Where a name stands.
struct NamePlace: Hashable, Sendable {
    let directory: NodeID
    let name: [UInt8]
}

/// One change of another device, as a program on this one would have made it.
enum ReplayStep: Equatable, Sendable {
    case create(ViewChange.Shown, NamePlace)
    case remove(ViewChange.Shown, NamePlace)
    /// `over` loses its name by it.
    case move(ViewChange.Shown, from: NamePlace, to: NamePlace, over: ViewChange.Shown?)
    case exchange(ViewChange.Shown, NamePlace, ViewChange.Shown, NamePlace)
    case content(NodeID)
    case attributes(NodeID)
    /// What the kernel has under a name is to be forgotten, and nobody to be told.
    case forget(NamePlace)
    case forgetAttributes(NodeID)
}

/// Puts the changes of one batch into an order in which a program could have made them: directories
/// come before what is put into them, names are free before they are taken, and what moved moves.
struct ReplayPlan {
    private struct Change {
        let place: NamePlace
        let before: ViewChange.Shown?
        let now: ViewChange.Shown?
    }

    private(set) var steps: [ReplayStep] = []
    private var departures: [NodeID: Change] = [:]
    private var arrivals: [NodeID: Change] = [:]
    private var changes: [Change] = []
    /// What stands under the changed names for the kernel at this point of the plan.
    private var standing: [NamePlace: ViewChange.Shown] = [:]
    private var done: Set<NamePlace> = []
    private var told: Set<NodeID> = []

    /// - Parameters:
    ///   - now: what shows under a name now.
    ///   - united: names whose directory has become one with another, and is that for the kernel.
    ///   - areOne: whether two directories show at one place.
    ///   - isWatched: whether the kernel has a directory or file in use.
    init(
        _ batch: [ViewChange], now: (NamePlace) -> ViewChange.Shown?,
        united: Set<NamePlace> = [], areOne: (NodeID, NodeID) -> Bool = { _, _ in false },
        isWatched: (NodeID) -> Bool
    ) {
        var seen: Set<NamePlace> = []
        for case .entry(let directory, let name, let before) in batch {
            let place = NamePlace(directory: directory, name: name)
            // A name that changed twice: what came in between nobody has seen.
            guard seen.insert(place).inserted else { continue }
            let change = Change(place: place, before: before, now: now(place))
            if united.contains(place) {
                if let now = change.now { steps.append(.forgetAttributes(now.node)) }
                continue
            }
            // Also a directory that has become one with another, which the kernel has as well.
            let isSame = change.before == change.now || isUnited(change, areOne)
            if isSame {
                steps.append(.forget(place))
                continue
            }
            changes.append(change)
            if let before { standing[place] = before }
            if let before, departures[before.node] == nil { departures[before.node] = change }
            if let now = change.now, arrivals[now.node] == nil { arrivals[now.node] = change }
        }
        makeDirectories(isWatched)
        moveAll(isWatched)
        removeAll(isWatched)
        makeRest(isWatched)
        tell(batch)
    }

    private func isUnited(_ change: Change, _ areOne: (NodeID, NodeID) -> Bool) -> Bool {
        guard let before = change.before, let now = change.now, before.kind == .directory,
            now.kind == .directory
        else { return false }
        return areOne(before.node, now.node)
    }

    // MARK: Names, in order

    private func isMove(_ change: Change) -> Bool {
        guard let now = change.now, arrivals[now.node]?.place == change.place else { return false }
        return departures[now.node] != nil
    }

    private mutating func makeDirectories(_ isWatched: (NodeID) -> Bool) {
        for change in changes where change.before == nil { makeDirectory(change, isWatched, 0) }
    }

    private mutating func makeDirectory(
        _ change: Change, _ isWatched: (NodeID) -> Bool, _ depth: Int
    ) {
        guard let now = change.now, now.kind == .directory, !isMove(change),
            !done.contains(change.place), depth < MountLimits.replayDepthMax
        else { return }
        if let above = arrivals[change.place.directory], above.before == nil {
            makeDirectory(above, isWatched, depth + 1)
        }
        create(now, change.place, isWatched)
    }

    private mutating func makeRest(_ isWatched: (NodeID) -> Bool) {
        for change in changes where !done.contains(change.place) {
            guard let now = change.now else { continue }
            if standing[change.place] == nil {
                create(now, change.place, isWatched)
            } else {
                steps.append(.forget(change.place))
            }
        }
    }

    private mutating func create(
        _ shown: ViewChange.Shown, _ place: NamePlace, _ isWatched: (NodeID) -> Bool
    ) {
        done.insert(place)
        standing[place] = shown
        guard isWatched(place.directory) else { return }
        steps.append(.create(shown, place))
        // A file that the kernel has under another name has got this one: it may have older bytes of it.
        if !isWatched(shown.node) { told.insert(shown.node) }
    }

    private mutating func moveAll(_ isWatched: (NodeID) -> Bool) {
        var waiting = changes.filter { isMove($0) }
        var isStuck = false
        while !waiting.isEmpty, !isStuck {
            isStuck = true
            var rest: [Change] = []
            for change in waiting {
                if done.contains(change.place) { continue }
                if move(change, isWatched) { isStuck = false } else { rest.append(change) }
            }
            waiting = rest
        }
        // What moves in a circle of more than two.
        for change in waiting {
            done.insert(change.place)
            steps.append(.forget(change.place))
            if let from = departures[change.now?.node ?? .root] {
                steps.append(.forget(from.place))
            }
        }
    }

    /// - Returns: false if the name is not free yet.
    private mutating func move(_ change: Change, _ isWatched: (NodeID) -> Bool) -> Bool {
        guard let moved = change.now, let from = departures[moved.node] else { return true }
        let over = standing[change.place]
        let isSeen = isWatched(from.place.directory) || isWatched(change.place.directory)
        if let over, let next = arrivals[over.node], departures[over.node] != nil {
            guard next.place == from.place else { return false }
            if isSeen { steps.append(.exchange(moved, from.place, over, change.place)) }
            standing[from.place] = over
            standing[change.place] = moved
            done.insert(from.place)
            done.insert(change.place)
            return true
        }
        let fits = over.map { ($0.kind == .directory) == (moved.kind == .directory) } ?? true
        if let over, !fits {
            if isWatched(change.place.directory) { steps.append(.remove(over, change.place)) }
        }
        if isSeen {
            steps.append(
                .move(moved, from: from.place, to: change.place, over: fits ? over : nil))
        }
        standing[from.place] = nil
        standing[change.place] = moved
        if from.now == nil { done.insert(from.place) }
        done.insert(change.place)
        return true
    }

    private mutating func removeAll(_ isWatched: (NodeID) -> Bool) {
        let gone = changes.filter { change in
            !done.contains(change.place) && standing[change.place] == change.before
                && change.before != nil
        }
        var inside: [NodeID: [Change]] = [:]
        for change in gone { inside[change.place.directory, default: []].append(change) }
        for change in gone { remove(change, inside, isWatched, 0) }
    }

    private mutating func remove(
        _ change: Change, _ inside: [NodeID: [Change]], _ isWatched: (NodeID) -> Bool,
        _ depth: Int
    ) {
        guard let before = change.before, standing[change.place] != nil,
            depth < MountLimits.replayDepthMax
        else { return }
        standing[change.place] = nil
        if before.kind == .directory {
            for below in inside[before.node] ?? [] { remove(below, inside, isWatched, depth + 1) }
        }
        if change.now == nil { done.insert(change.place) }
        if isWatched(change.place.directory) { steps.append(.remove(before, change.place)) }
    }

    // MARK: Contents and attributes

    private mutating func tell(_ batch: [ViewChange]) {
        for case .content(let node) in batch where told.insert(node).inserted {
            steps.append(.content(node))
        }
        for case .attributes(let node) in batch where told.insert(node).inserted {
            steps.append(.attributes(node))
        }
        for case .derived(let node) in batch { steps.append(.forgetAttributes(node)) }
    }
}
