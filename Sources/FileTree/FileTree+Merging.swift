package import Base
import TextMerge

/// Files with several heads: which of them are to be merged, and what is known of that.
///
/// A merge shows only where the share's settings name rules that are known here: in a share without them,
/// or with newer ones, every head shows under a name of its own, so that releases of different ages show
/// the same, or at least nothing that is wrong.
extension FileTree {
    /// The setting that names the rules of merging: a decimal number; 0, or none, is no merging.
    package static let mergeRulesSetting = Array("merge.rules".utf8)

    /// The rules that the share's settings name; `UInt64.max` for what is no number.
    package var mergeRules: UInt64 { state.mergeRules.value }

    var mergesText: Bool { mergeRules == MergeRules.version }

    // MARK: Asking

    /// Takes what came to be asked since the last time. Answer with `answer`, at any time or never.
    package func takeQuestions() -> [MergeQuestion] {
        defer { questions.removeAll() }
        return questions
    }

    /// The question that an object's heads pose, if it waits for an answer.
    package func pendingQuestion(of object: ObjectID) throws(StorageError) -> MergeQuestion? {
        guard let merge = try storage.object(object)?.merge, merge.isPending else { return nil }
        return merge.question
    }

    /// Sees to the questions of the objects that operations touched.
    func settleMerges() throws(StorageError) {
        if mergeRulesChanged {
            mergeRulesChanged = false
            try forEachContested { (id) throws(StorageError) in _ = try object(id) }
        }
        for object in held.objects where object.row.heads > 1 || object.row.merge != nil {
            try settleMerge(of: object)
        }
    }

    private func settleMerge(of object: Held<ObjectRow>) throws(StorageError) {
        let heads = object.row.heads > 1 ? try storage.heads(of: object.row.id) : []
        let before = object.row.merge
        if let question = try question(object, heads) {
            if question != before?.question {
                object.row.merge = HeadsMerge(
                    question: question, verdict: .pending(shown: firstShown(object, heads)))
                questions.append(question)
            }
        } else {
            object.row.merge = nil
        }
        guard object.row.heads > 1 else { return }
        render(object, heads)
    }

    /// What shows until it is known: copies where there were copies, else the latest head alone.
    private func firstShown(_ object: Held<ObjectRow>, _ heads: [VersionRow]) -> VersionID? {
        if (object.original?.shownHeads ?? 0) > 1 { return nil }
        return ShownHeads(heads, nil, writers: writers).items.first?.version.id
    }

    /// Sets what follows from heads and verdict.
    private func render(_ object: Held<ObjectRow>, _ heads: [VersionRow]) {
        let items = ShownHeads(heads, object.row.merge?.verdict, writers: writers).items
        object.row.shownHeads = UInt64(items.count)
        object.row.winner = items.first.map {
            ObjectRow.Winner(
                stamp: $0.version.stamp, size: $0.version.size, modified: $0.version.modified)
        }
    }

    private func question(_ object: Held<ObjectRow>, _ heads: [VersionRow])
        throws(StorageError) -> MergeQuestion?
    {
        guard mergesText, object.row.links > 0, heads.count > 1,
            heads.count <= Limits.mergedHeadsMax
        else { return nil }
        let open = heads.filter { !$0.isClosed }.sorted { writers.precedes($0.stamp, $1.stamp) }
        guard Set(open.map(\.bytes)).count > 1,
            open.allSatisfy({ $0.size <= UInt64(MergeRules.sizeMax) })
        else { return nil }
        let names = try heldEntries(of: object.row.id).filter { $0.counted != nil }
            .map(\.row.placement.name)
        guard !names.contains(where: MergeRules.isWhole) else { return nil }
        return MergeQuestion(
            object: object.row.id, heads: open.map(\.id),
            isLineLike: names.allSatisfy(MergeRules.isLineLike))
    }

    /// Calls `body` for every object with more than one head.
    package func forEachContested(_ body: (ObjectID) throws(StorageError) -> Void)
        throws(StorageError)
    {
        var cursor: ObjectID?
        while let page = try contested(after: cursor, limit: 4096) {
            for id in page.objects { try body(id) }
            cursor = page.last
        }
    }

    /// Those of the objects after one, in the order of identities, that have more than one head, as far
    /// as `limit` heads reach; and where to go on. Nil at the end.
    package func contested(after cursor: ObjectID?, limit: Int) throws(StorageError)
        -> (objects: [ObjectID], last: ObjectID)?
    {
        let heads = try storage.objectsOfHeads(after: cursor, limit: limit)
        guard var last = heads.last else { return nil }
        // The last one may have more heads than the page shows: it begins the next page.
        let isWhole = heads.count < limit || heads.first == last
        let whole = isWhole ? heads[...] : heads.prefix { $0 != last }
        last = whole.last ?? last
        var objects: [ObjectID] = []
        for (index, id) in whole.enumerated().dropFirst()
        where whole[index - 1] == id && objects.last != id {
            objects.append(id)
        }
        return (objects, last)
    }

    // MARK: Answering

    /// Takes an answer, or a better way to wait for one; one to a question that is no longer asked
    /// changes nothing.
    ///
    /// - Returns: what changed.
    package func answer(_ question: MergeQuestion, _ verdict: MergeVerdict) throws(StorageError)
        -> [TreeChange]
    {
        precondition(held.count == 0, "operations are being applied")
        guard let object = try object(question.object) else { return [] }
        if object.row.merge?.question == question { object.row.merge?.verdict = verdict }
        return try settleAnswer()
    }

    /// How to answer; nil if what the versions have in common cannot be found: their history is too large, or
    /// lies behind a cut.
    package func plan(_ question: MergeQuestion) throws(StorageError) -> MergePlan? {
        try plan(heads: question.heads)
    }

    /// As `plan`, for any versions of one file, in the order of operations.
    package func plan(heads ids: [VersionID]) throws(StorageError) -> MergePlan? {
        var heads: [VersionRow] = []
        for id in ids { heads.append(try required(try storage.version(id), "version \(id)")) }
        guard let first = heads.first else { return nil }
        var steps: [MergePlan.Step] = []
        for index in heads.indices.dropFirst() {
            var search = CommonVersions(storage, writers)
            guard let bases = try search.last(of: heads[..<index], and: heads[index]) else {
                return nil
            }
            guard !bases.isEmpty || heads[...index].allSatisfy({ $0.lineage == .whole }) else {
                return nil
            }
            steps.append(
                MergePlan.Step(bases: bases.isEmpty ? [nil] : bases, head: heads[index]))
        }
        return MergePlan(first: first, steps: steps)
    }

    /// What is known of the heads of a file, for people.
    package func merge(of object: ObjectID) throws(StorageError) -> HeadsMerge? {
        try storage.object(object)?.merge
    }
}
