internal import Base
internal import CFuse3
internal import Share
internal import Synchronization

/// Shows the kernel, and those who watch, what other devices changed: from a thread of its own, in
/// the order in which it came.
final class Invalidator: VolumeObserver {
    private let table: InodeTable
    private let volume: any Volume
    private let kernel: KernelCache
    private let thread: SerialThread
    private let writeBack: WriteBack
    private let refresh: @Sendable (FileState) -> Bool
    private let changes: ChangeCount
    private let names: NameChangeCounts
    private let replay: Replay
    private let replayer = Mutex<Replayer?>(nil)
    /// Changes that wait for the thread.
    private let waiting = Atomic<Int>(0)
    /// Where directories were that changes waiting here, or the view already, have taken away.
    private let departed = Mutex<[NodeID: NamePlace]>([:])
    private struct Late {
        /// How often it was tried in vain.
        var tries = 0
        /// It does not wait for the thread already.
        var isDue = true
    }

    /// Content and attributes that could not be shown yet.
    private let late = Mutex<[ViewChange: Late]>([:])

    private typealias Forget = @Sendable (KernelCache) -> Bool
    /// What the kernel did not know when it was told to forget it, a moment ago or since the last tick.
    private let missed = Mutex<[Forget]>([])
    private let missedTwice = Mutex<[Forget]>([])

    /// - Parameter refresh: reads an open file's content anew; whether it is another now.
    init(
        table: InodeTable, volume: any Volume, kernel: KernelCache, changes: ChangeCount,
        names: NameChangeCounts, replay: Replay, writeBack: WriteBack,
        refresh: @escaping @Sendable (FileState) -> Bool
    ) throws(MountError) {
        self.table = table
        self.volume = volume
        self.kernel = kernel
        self.changes = changes
        self.names = names
        self.replay = replay
        self.writeBack = writeBack
        self.refresh = refresh
        thread = try SerialThread(name: "invalidator")
        thread.run { replay.begin(thread: holdfast_thread()) }
    }

    /// From now on changes are replayed, if there is a place to do it.
    func begin(at place: MountedPlace?) {
        guard let place else { return }
        let made = Replayer(
            place: place, volume: volume, table: table, replay: replay, kernel: kernel,
            departed: { [weak self] node in self?.departed.withLock { $0[node] } })
        replayer.withLock { $0 = made }
    }

    /// Nothing is replayed any more: the mount is about to be taken away.
    func pause() {
        replayer.withLock { $0 = nil }
        let latch = Latch()
        thread.runNext { latch.open() }
        latch.wait(until: Clock.now() + .seconds(2))
    }

    /// Waits until what was changed so far is shown.
    ///
    /// - Returns: false if that takes longer than whoever asked may be kept.
    func awaitShown() -> Bool {
        let latch = Latch()
        thread.run { latch.open() }
        return latch.wait(until: Clock.now() + MountLimits.showPatience)
    }

    /// The session is about to be destroyed.
    func end() {
        replayer.withLock { $0 = nil }
        thread.stop()
        kernel.end()
    }

    // MARK: What changed

    func volumeChanged(_ changes: [ViewChange]) {
        self.changes.increment()
        // What the kernel has never heard of it need not forget.
        guard changes.contains(where: { isKnown($0) }) else { return }
        enqueue(changes)
    }

    func forgetAttributes(of id: InodeID) {
        thread.run { [kernel] in kernel.forgetAttributes(of: id) }
    }

    /// Has the kernel look names up again after the call that is being answered.
    func forgetNames(_ places: [NamePlace]) {
        thread.run { [weak self] in for place in places { self?.forget(place) } }
    }

    /// Shows what has come to stand under a name that a program has taken away.
    func showName(_ place: NamePlace) {
        thread.run { [weak self] in
            guard let self, shown(at: place) != nil else { return }
            show([.entry(directory: place.directory, name: place.name, before: nil)])
        }
    }

    /// Shows a remote change that had to wait.
    func showContent(of file: FileState) {
        enqueue([.content(file.node)])
    }

    /// Corrects what the kernel thinks of a file that somebody is opening, before all else.
    func correct(_ node: NodeID, then call: @escaping @Sendable () -> Void) {
        thread.runNext { [weak self] in
            self?.perform(.content(node))
            call()
        }
    }

    /// Asks the kernel, where that keeps the times of files, when one was written last.
    ///
    /// - Parameter call: is told nil if nobody knows, or if somebody writes to it again.
    func askTime(of file: FileState, then call: @escaping @Sendable (Timestamp?) -> Void) {
        thread.run { [weak self] in
            let replayer = self?.replayer.withLock { $0 }
            call(file.hasWriters ? nil : replayer?.modified(file.node))
        }
    }

    /// Tries again what could not be shown: a program was run from the file, or wrote to it, or the file
    /// was not yet where it is now.
    func tick() {
        let due = late.withLock { late in
            let due = late.filter { change, late in
                guard late.isDue, case .attributes(let node) = change else { return late.isDue }
                return !(table.file(of: node)?.hasOwnTimes ?? false)
            }
            for change in due.keys { late[change]?.isDue = false }
            return due.keys
        }
        for change in due { enqueue([change]) }
        let rest = missedTwice.withLock { missed in
            defer { missed = [] }
            return missed
        }
        guard !rest.isEmpty else { return }
        thread.run { [kernel] in for forget in rest { _ = forget(kernel) } }
    }

    /// What the kernel keeps by itself, sizes and times, it does not give up by being told to forget: where
    /// it has the file in use, the change must be made. Mostly a name that stands in the way goes at once.
    private func noteOutcome(_ outcome: Replayer.Outcome, of change: ViewChange, _ node: NodeID) {
        late.withLock { late in
            switch outcome {
            case .done: late[change] = nil
            case .busy: late[change] = Late()
            case .failed:
                let tries = (late[change]?.tries ?? 0) + 1
                let isUseful = tries < MountLimits.lateTriesMax && table.id(of: node) != nil
                late[change] = isUseful ? Late(tries: tries) : nil
            }
        }
    }

    private func isKnown(_ change: ViewChange) -> Bool {
        switch change {
        case .entry(let directory, _, let before):
            table.id(of: directory) != nil || before.map { table.id(of: $0.node) != nil } ?? false
        case .attributes(let node), .derived(let node): table.id(of: node) != nil
        // Whoever watches its directory wants to know.
        case .content: true
        }
    }

    private func enqueue(_ changes: [ViewChange]) {
        let waited = waiting.wrappingAdd(changes.count, ordering: .relaxed).newValue
        let isMuch = waited > MountLimits.replayedChangesMax
        if !isMuch { noteDepartures(changes) }
        thread.run { [weak self] in
            guard let self else { return }
            noteRemovals(changes)
            if isMuch { forget(changes) } else { show(changes) }
            departed.withLock { departed in
                let left = self.waiting.wrappingSubtract(changes.count, ordering: .relaxed)
                if left.newValue == 0 { departed = [:] }
            }
        }
    }

    /// Whether the kernel may have a directory under a name still that a change on its way to it takes away.
    func hasDirectoryYet(at place: NamePlace) -> Bool {
        departed.withLock { $0.values.contains(place) }
    }

    private func noteDepartures(_ changes: [ViewChange]) {
        departed.withLock { departed in
            for case .entry(let directory, let name, let before?) in changes
            where before.kind == .directory {
                departed[before.node] = NamePlace(directory: directory, name: name)
            }
        }
    }

    /// What was written to a file that another device has removed brings it back, what the kernel alone has of it too;
    /// what is written from now on does not.
    private func noteRemovals(_ changes: [ViewChange]) {
        for case .entry(_, _, let before?) in changes where before.kind == .file {
            guard let file = table.file(of: before.node),
                let attributes = try? volume.attributes(of: before.node), attributes.links == 0
            else { continue }
            writeBack.settle(file) { file.noteRemovedElsewhere() }
        }
    }

    private func show(_ changes: [ViewChange]) {
        replay.beginPlan(at: names.moment)
        let plan = ReplayPlan(
            changes, now: { shown(at: $0) }, united: unite(changes),
            areOne: { areOne($0, $1) },
            isWatched: { table.id(of: $0) != nil })
        for step in plan.steps { perform(step) }
    }

    private func areOne(_ node: NodeID, _ other: NodeID) -> Bool {
        guard let path = try? volume.path(of: node) else { return false }
        return (try? volume.path(of: other)) == path
    }

    private func shown(at place: NamePlace) -> ViewChange.Shown? {
        guard let now = try? volume.lookup(place.name, in: place.directory) else { return nil }
        return ViewChange.Shown(node: now.node, kind: now.kind)
    }

    /// Directories that became one with others go on as those: who is in them, or watches them, sees
    /// what all of them hold.
    private func unite(_ changes: [ViewChange]) -> Set<NamePlace> {
        var united: Set<NamePlace> = []
        for case .entry(let directory, let name, let before?) in changes
        where before.kind == .directory {
            let place = NamePlace(directory: directory, name: name)
            guard let id = table.id(of: before.node), let now = shown(at: place),
                now.kind == .directory, now.node != before.node, table.id(of: now.node) == nil,
                areOne(before.node, now.node), table.unite(id, with: now.node)
            else { continue }
            united.insert(place)
        }
        return united
    }

    private func perform(_ step: ReplayStep) {
        if let replayer = replayer.withLock({ $0 }) {
            let outcome = replayer.perform(step)
            switch step {
            case .content(let node), .attributes(let node):
                let isContent = step == .content(node)
                noteOutcome(outcome, of: isContent ? .content(node) : .attributes(node), node)
                if case .busy = outcome { return }
            default: break
            }
            if case .done = outcome { return }
        }
        switch step {
        case .create(_, let place), .remove(_, let place), .forget(let place): forget(place)
        case .move(let shown, let from, let to, _):
            forget(from)
            // Who watches there hears of it all the same.
            perform(.create(shown, to))
        case .exchange(_, let from, _, let to):
            forget(from)
            forget(to)
        case .content(let node): if let id = table.id(of: node) { forgetContent(of: id, node) }
        case .attributes(let node), .forgetAttributes(let node): forgetAttributes(node)
        }
    }

    // MARK: Without telling anybody

    /// For more changes at once than anybody wants to hear of.
    private func forget(_ changes: [ViewChange]) {
        for change in changes {
            switch change {
            case .entry(let directory, let name, _):
                forget(NamePlace(directory: directory, name: name))
            case .derived(let node): forgetAttributes(node)
            case .attributes(let node):
                // The times of a file that it knows the kernel keeps.
                if table.id(of: node) != nil { perform(.attributes(node)) }
            case .content(let node):
                guard let id = table.id(of: node) else { continue }
                // Open files must be shown the change, and those that it would go on knowing by another
                // name; others the kernel meets anew.
                let links = (try? volume.attributes(of: node))?.links ?? 1
                if table.file(of: node) == nil, links <= 1 {
                    forgetContent(of: id, node)
                } else {
                    perform(.content(node))
                }
            }
        }
    }

    private func forget(_ place: NamePlace) {
        kernel.forgetEntry(place)
        if let directory = table.id(of: place.directory) {
            retrying { $0.forgetListing(of: directory) }
        }
    }

    private func forgetAttributes(_ node: NodeID) {
        guard let id = table.id(of: node) else { return }
        // Of a directory the listing too; a file's pages are told of by themselves.
        let isFile = table.file(of: node) != nil
        retrying { isFile ? $0.forgetAttributes(of: id) : $0.forgetListing(of: id) }
    }

    private func forgetContent(of id: InodeID, _ node: NodeID) {
        switchContent(of: id)
        // Where the kernel keeps the size by itself, it learns another by meeting the file anew.
        if let path = try? volume.path(of: node), let name = path.names.last {
            kernel.forgetEntry(NamePlace(directory: path.directory, name: name))
        }
    }

    /// Shows other content, with no page of the old left, unless there are bytes to keep.
    private func switchContent(of id: InodeID) {
        guard let file = table.find(id)?.file else {
            retrying { $0.takePages(of: id) }
            return
        }
        // An open file that keeps its bytes keeps the kernel's pages: they are those bytes.
        guard refresh(file) else { return }
        kernel.takePages(of: id)
        // Somebody wrote meanwhile, through a map, on the old version: no page of the new may stay.
        if !file.endSwitch() { kernel.takePages(of: id) }
    }

    /// What the kernel does not know may just be on the way to it, as it was before the change: to a program
    /// that gets no processor for a while.
    private func retrying(_ forget: @escaping Forget) {
        guard !forget(kernel) else { return }
        let isFirst = missed.withLock { missed in
            missed.append(forget)
            return missed.count == 1
        }
        guard isFirst else { return }
        thread.run { [weak self] in
            usleep(2000)
            self?.forgetMissed()
        }
    }

    private func forgetMissed() {
        let all = missed.withLock { missed in
            defer { missed = [] }
            return missed
        }
        let rest = all.filter { !$0(kernel) }
        missedTwice.withLock { $0 += rest }
    }
}
