import Base
import Chunks
import FileTree
import TextMerge

/// The work of one merge: contents in, a result out. Pure but for reading chunks; needs no lock.
struct MergeJob: Sendable {
    struct Step: Sendable {
        var bases: [Content]
        var head: Content
    }

    /// What came of it.
    enum Outcome: Sendable {
        case merged([UInt8])
        case conflict(MergeConflict)
        /// Chunks that are not here, and the heads whose bytes are, the latest first.
        case missing([ChunkReference], readable: [VersionID])
    }

    let question: MergeQuestion
    private let heads: [VersionID]
    private let first: Content
    private let steps: [Step]

    /// - Returns: nil if the content of a version makes no sense.
    init?(_ question: MergeQuestion, _ plan: MergePlan) {
        self.question = question
        heads = [plan.first.id] + plan.steps.map(\.head.id)
        guard let first = plan.first.decoded else { return nil }
        self.first = first
        var steps: [Step] = []
        for step in plan.steps {
            guard let head = step.head.decoded else { return nil }
            var bases: [Content] = []
            for base in step.bases {
                // The file was empty before its first version.
                guard let content = base == nil ? .empty : base?.decoded else { return nil }
                bases.append(content)
            }
            steps.append(Step(bases: bases, head: head))
        }
        self.steps = steps
    }

    /// Whether no chunk has to be read.
    var isInline: Bool {
        contents.allSatisfy { if case .inline = $0 { true } else { false } }
    }

    private var contents: [Content] { [first] + steps.flatMap { $0.bases + [$0.head] } }

    func run(_ chunks: any ChunkStorage) throws(StorageError) -> Outcome {
        let sizeMax = UInt64(MergeRules.sizeMax)
        guard contents.allSatisfy({ $0.size <= sizeMax }) else { return .conflict(.notText) }
        var missing: [ChunkReference] = []
        var readable: [VersionID] = []
        var known: [Content: [UInt8]] = [:]
        for (content, head) in zip([first] + steps.map(\.head), heads) {
            let before = missing.count
            try Self.read(content, chunks, &known, &missing)
            if missing.count == before { readable.insert(head, at: 0) }
        }
        for base in steps.flatMap(\.bases) { try Self.read(base, chunks, &known, &missing) }
        guard missing.isEmpty else { return .missing(missing, readable: readable) }
        let result = HeadMerge.merge(
            first: known[first] ?? [],
            steps: steps.map { step in
                .init(bases: step.bases.map { known[$0] ?? [] }, head: known[step.head] ?? [])
            }, isLineLike: question.isLineLike)
        return switch result {
        case .clean(let bytes): .merged(bytes)
        case .conflict(let conflict): .conflict(conflict)
        }
    }

    private static func read(
        _ content: Content, _ chunks: any ChunkStorage, _ known: inout [Content: [UInt8]],
        _ missing: inout [ChunkReference]
    ) throws(StorageError) {
        if case .inline(let bytes) = content {
            known[content] = bytes
            return
        }
        guard known[content] == nil else { return }
        let reader = ContentReader(content, storage: chunks)
        var bytes = [UInt8](repeating: 0, count: Int(reader.size))
        var span = bytes.mutableSpan
        // The buffer is used only during the call.
        let outcome = unsafe try span.withUnsafeMutableBytes { (buffer) throws(StorageError) in
            unsafe try reader.read(at: 0, into: buffer)
        }
        switch outcome {
        case .bytes(let count): known[content] = Array(bytes.prefix(count))
        case .missing(let absent): missing += absent
        }
    }
}

extension VersionRow {
    /// Nil if the content makes no sense.
    fileprivate var decoded: Content? {
        content.isEmpty || size == 0 ? .empty : try? Content(decoding: content)
    }
}
