import Base
import Crypto
import TextMerge

@testable import FileTree

/// One device of a simulated share: its log, the logs it holds of others, and its view.
final class Device {
    let name: String
    let key: Bytes32
    let writers: WriterTable
    let slot: WriterSlot
    private let settlesAfter: UInt64
    let storage = CheckedTreeStorage()
    private(set) var tree: FileTree
    private(set) var hybridClock = HybridClock()
    /// Milliseconds this device's wall clock is ahead.
    var wallSkew: Int64 = 0

    /// Encoded blocks by log, as far as they are in the view.
    private(set) var logs: [Bytes32: [[UInt8]]] = [:]
    private var codecs: [Bytes32: BlockCodec] = [:]
    private var open: (time: HybridTime, operations: [Operation?])?

    /// - Parameters:
    ///   - strangers: slots given away first, so that devices number logs differently.
    ///   - settlesAfter: in milliseconds.
    init(
        _ name: String, strangers: Int = 0, names: [Bytes32: String] = [:],
        settlesAfter: UInt64 = Limits.settlesAfterMilliseconds
    ) throws {
        self.settlesAfter = settlesAfter
        self.name = name
        key = Device.key(named: name)
        writers = WriterTable()
        for index in 0..<strangers { _ = writers.insert(Device.key(named: "stranger \(index)")) }
        slot = writers.insert(key)!
        tree = try FileTree(
            storage: storage, writers: writers, settlesAfter: settlesAfter)
        codecs[key] = BlockCodec(writer: slot)
        logs[key] = []
    }

    static func key(named name: String) -> Bytes32 { Blake2b.hash256(Array(name.utf8)) }

    /// Told of every change, as a mount is.
    var observe: ((Device, [TreeChange]) throws -> Void)?

    private func tell(_ changes: [TreeChange]) throws {
        try observe?(self, changes)
        try answerQuestions()
    }

    /// Bytes that are not here: questions that need them wait.
    var missing: Set<[UInt8]> = []
    private var waiting: [MergeQuestion] = []

    /// Merges what the tree asks for.
    func answerQuestions() throws {
        waiting += tree.takeQuestions()
        for question in waiting.shuffled() {
            guard let verdict = try verdict(question) else { continue }
            waiting.removeAll { $0 == question }
            let changes = try tree.answer(question, verdict)
            try observe?(self, changes)
        }
    }

    private func verdict(_ question: MergeQuestion) throws -> MergeVerdict? {
        guard let plan = try tree.plan(question) else { return .conflict(.ambiguousBase) }
        guard plan.versions.allSatisfy({ !missing.contains($0.content) }) else { return nil }
        let result = HeadMerge.merge(
            first: plan.first.content,
            steps: plan.steps.map { step in
                .init(bases: step.bases.map { $0?.content ?? [] }, head: step.head.content)
            }, isLineLike: question.isLineLike)
        switch result {
        case .clean(let bytes): return .merged(size: UInt64(bytes.count), content: bytes)
        case .conflict(let conflict): return .conflict(conflict)
        }
    }

    /// Makes batches write their rows out early.
    var heldRowsMax: Int {
        get { tree.heldRowsMax }
        set { tree.heldRowsMax = newValue }
    }

    /// As after a restart: nothing in memory.
    func reopen() throws {
        try tree.save()
        tree = try FileTree(
            storage: storage, writers: writers, deviceNames: names, settlesAfter: settlesAfter)
    }

    private var names: [WriterSlot: String] = [:]

    func know(_ device: String, as name: String) throws {
        guard let slot = writers.insert(Device.key(named: device)) else { return }
        names[slot] = name
        try tell(tree.setDeviceName(name, of: slot))
    }

    // MARK: Authoring

    /// Applies an operation to the open block; opens one if there is none.
    ///
    /// - Parameter anyway: whether the log gets it even if the own tree refuses it.
    @discardableResult
    func author(_ operation: Operation, wall: UInt64, anyway: Bool = false) throws
        -> OperationID?
    {
        let number = codecs[key]!.number
        if open == nil {
            hybridClock.observe(tree.newestTime)
            let milliseconds = UInt64(max(0, Int64(wall) + wallSkew))
            open = (hybridClock.next(wallMilliseconds: milliseconds), [])
        }
        let id = OperationID(writer: slot, block: number, index: open!.operations.count)
        let changes = try tree.author(operation, id: id, time: open!.time)
        let isApplied = changes != nil
        try tell(changes ?? [])
        guard isApplied || anyway else { return nil }
        open!.operations.append(operation)
        lastOperations = open!.operations.count
        return isApplied ? id : nil
    }
    private(set) var lastOperations = 0

    func seal() throws {
        guard let block = open else { return }
        open = nil
        var clock = tree.clock
        let number = codecs[key]!.number
        clock[slot] = number
        let bytes = try codecs[key]!.encode(
            Block(time: block.time, clock: clock, operations: block.operations), writers: writers)
        logs[key]!.append(bytes)
        tree.seal(slot, number: number, time: block.time)
        try tree.save()
    }

    // MARK: Receiving

    /// Takes up to `limit` blocks that `other` holds and this device lacks, in a random causal order
    /// and in batches of random size.
    ///
    /// - Parameter lengths: how many blocks of each log to have at most.
    func pull(
        from other: Device, limit: Int = .max, upTo lengths: [Bytes32: Int]? = nil,
        using rng: inout SeededRandom
    ) throws {
        try seal()
        try other.seal()
        var waiting: [Bytes32: Block] = [:]
        let keys = other.logs.keys.sorted()
        var taken = 0
        var stuck = Set<Bytes32>()
        tree.begin()
        while taken < limit {
            let ready = keys.filter { key in
                let length = min(other.logs[key]!.count, lengths.map { $0[key] ?? 0 } ?? .max)
                return !stuck.contains(key) && (logs[key]?.count ?? 0) < length
            }
            guard let key = ready.randomElement(using: &rng) else { break }
            let known = writers.slot(of: key) ?? writers.insert(key)!
            let number = logs[key]?.count ?? 0
            let bytes = other.logs[key]![number]
            if waiting[key] == nil {
                var codec = codecs[key] ?? BlockCodec(writer: known)
                waiting[key] = try codec.decode(bytes.span, writers: writers)
                codecs[key] = codec
            }
            switch try tree.apply(waiting[key]!, from: known, number: UInt64(number)) {
            case .applied:
                logs[key, default: []].append(bytes)
                let block = waiting.removeValue(forKey: key)!
                hybridClock.observe(block.time)
                stuck.removeAll()
                taken += 1
                // Once more: it must not matter.
                if Int.random(in: 0..<8, using: &rng) == 0 {
                    _ = try tree.apply(block, from: known, number: UInt64(number))
                }
                if Int.random(in: 0..<4, using: &rng) == 0 {
                    try tell(tree.finish())
                    tree.begin()
                }
            case .early: stuck.insert(key)
            case .duplicate: fatalError("a block came twice")
            }
        }
        try tell(tree.finish())
        // Blocks decoded and not applied are decoded anew next time.
        for key in waiting.keys { try rewindCodec(of: key) }
        try tree.save()
    }

    /// Starts from a checkpoint of what another device has, instead of from its blocks.
    ///
    /// - Parameter checkpoint: what `checkpoint` of the other one gave, before it went on.
    func start(from other: Device, _ checkpoint: [UInt8]? = nil, digest: Bytes32? = nil) throws {
        let bytes = try checkpoint ?? other.checkpoint()
        var reader = CheckpointReader(tree: tree)
        for start in stride(from: 0, to: bytes.count, by: 1000) {
            try reader.feed(Array(bytes[start..<min(start + 1000, bytes.count)]))
            // As when something else is committed meanwhile, anywhere in an object.
            if start % 3000 == 0 { try tree.save() }
        }
        for state in try reader.finish(digest ?? other.tree.digest).states {
            let key = writers.key(of: state.writer)
            logs[key] = Array(other.logs[key]!.prefix(Int(state.number)))
            codecs[key] = state
        }
        if codecs[key] == nil { codecs[key] = BlockCodec(writer: slot) }
        hybridClock.observe(tree.newestTime)
    }

    /// The logs' codecs, by log.
    var states: [BlockCodec] {
        codecs.sorted { $0.key < $1.key }.map(\.value).filter { tree.clock[$0.writer] > 0 }
    }

    /// What another device's last block here has seen of a log.
    func references(of other: Bytes32, to key: Bytes32) -> UInt64 {
        guard let state = codecs[other], state.number > 0 else { return 0 }
        if key == other { return state.number }
        return writers.slot(of: key).map { state.clock[$0] } ?? 0
    }

    /// The time of a block here.
    func time(of writer: WriterSlot, block: UInt64) -> HybridTime {
        let bytes = logs[writers.key(of: writer)]![Int(block)]
        return HybridTime(
            rawValue: bytes[1..<9].reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }

    private func rewindCodec(of key: Bytes32) throws {
        var codec = BlockCodec(writer: writers.slot(of: key)!)
        for bytes in logs[key] ?? [] { _ = try codec.decode(bytes.span, writers: writers) }
        codecs[key] = codec
    }
}
