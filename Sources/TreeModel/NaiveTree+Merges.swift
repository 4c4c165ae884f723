internal import Base
internal import FileTree

/// How contents stand for the bytes of files, so that the model can merge them.
package struct NaiveText: Sendable {
    /// Nil if the bytes cannot be told.
    var bytes: @Sendable ([UInt8]) -> [UInt8]?
    var content: @Sendable ([UInt8]) -> [UInt8]

    package init(
        bytes: @escaping @Sendable ([UInt8]) -> [UInt8]?,
        content: @escaping @Sendable ([UInt8]) -> [UInt8]
    ) {
        self.bytes = bytes
        self.content = content
    }

    /// Contents are the bytes.
    package static let plain = NaiveText(bytes: { $0 }, content: { $0 })
}

/// What several heads merge to, looked at from the whole graph of versions.
extension NaiveTree {
    struct Merge {
        var content: [UInt8]
        var size: UInt64
        var modified: Timestamp

        var key: [UInt8] { size == 0 ? [] : Array("\(size):".utf8) + content }
    }

    /// Nil if the heads do not merge, or there is but one.
    func merge(of object: OperationID) -> Merge? {
        let heads = versions.filter { $0.value.object == object && !$0.value.hasChild }
        let open = heads.filter { !$0.value.isClosed }
            .keys.sorted { isBefore(versions[$0]!.stamp, versions[$1]!.stamp) }
        guard mergeRules == 1, heads.count <= 16, Set(open.map { versions[$0]!.key }).count > 1
        else { return nil }
        let names = entries.filter { $0.value.object == object && isVisible($0.key) }
            .map(\.value.name)
        guard !names.isEmpty else { return nil }
        let wholes = ["HEAD", "packed-refs"].map { Array($0.utf8) }
        if names.contains(where: wholes.contains) { return nil }
        let isLineLike = names.allSatisfy(Self.isLineLike)
        guard var merged = text(open[0]) else { return nil }
        for index in 1..<open.count {
            guard let head = text(open[index]) else { return nil }
            let bases = lastCommon(Array(open[..<index]), open[index])
            if bases.isEmpty,
                open[...index].contains(where: { versions[$0]!.isCut || versions[$0]!.isBehindCut })
            {
                return nil
            }
            let texts = bases.isEmpty ? [""] : bases.map(text)
            var results: Set<[UInt8]?> = []
            for base in texts {
                guard let base else { return nil }
                let result = NaiveMerge.merge(base, merged, head, isLineLike: isLineLike)
                results.insert(result.map { Array($0.utf8) })
            }
            guard results.count == 1, let result = results.first, let result else { return nil }
            merged = String(decoding: result, as: UTF8.self)
        }
        let bytes = Array(merged.utf8)
        return Merge(
            content: self.text.content(bytes), size: UInt64(bytes.count),
            modified: open.map { versions[$0]!.write.modified }.max()!)
    }

    private func text(_ version: OperationID) -> String? {
        let write = versions[version]!.write
        guard let bytes = write.size == 0 ? [] : self.text.bytes(write.content),
            !bytes.contains(0)
        else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func isLineLike(_ name: [UInt8]) -> Bool {
        let text = String(decoding: name, as: UTF8.self)
        if text == ".gitignore" { return true }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        if parts.count == 1 { return true }
        if parts.count == 2, parts[0].isEmpty { return false }
        return ["md", "txt", "org", "log", "csv"].contains(parts.last!.lowercased())
    }

    /// Versions with equal parents and equal bytes are one.
    private func same(_ version: OperationID) -> [OperationID] {
        let own = versions[version]!
        if own.isCut { return [version] }
        return versions.filter { id, other in
            other.object == own.object && other.key == own.key && !other.isCut
                && Set(other.write.parents) == Set(own.write.parents)
        }.map(\.key)
    }

    /// Every version below, itself included, and all that are the same as one of them.
    private func past(_ version: OperationID) -> Set<OperationID> {
        var found: Set<OperationID> = []
        var pending = [version]
        while let next = pending.popLast() {
            guard found.insert(next).inserted else { continue }
            pending += same(next)
            if !versions[next]!.isCut { pending += versions[next]!.write.parents }
        }
        return found
    }

    private func lastCommon(_ left: [OperationID], _ right: OperationID) -> [OperationID] {
        var common: Set<OperationID> = []
        for version in left { common.formUnion(past(version)) }
        common.formIntersection(past(right))
        let last = common.filter { version in
            !common.contains { other in
                !same(version).contains(other) && past(other).contains(version)
            }
        }
        var seen: Set<OperationID> = []
        var result: [OperationID] = []
        for version in last.sorted(by: { isBefore(versions[$0]!.stamp, versions[$1]!.stamp) })
        where !seen.contains(version) {
            seen.formUnion(same(version))
            result.append(version)
        }
        return result
    }
}
