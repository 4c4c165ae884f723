import Share
import Testing

@testable import FuseMount

/// In which order the changes of a batch are replayed.
struct ReplayPlanTests {
    private typealias Shown = ViewChange.Shown

    private func file(_ number: UInt64) -> Shown {
        Shown(node: NodeID(rawValue: number), kind: .file)
    }

    private func directory(_ number: UInt64) -> Shown {
        Shown(node: NodeID(rawValue: number), kind: .directory)
    }

    private func place(_ directory: UInt64, _ name: String) -> NamePlace {
        NamePlace(directory: NodeID(rawValue: directory), name: Array(name.utf8))
    }

    /// - Parameter changes: place, what showed, what shows.
    private func steps(
        _ changes: [(NamePlace, Shown?, Shown?)], more: [ViewChange] = [],
        watched: Set<UInt64> = [1, 2, 3]
    ) -> [ReplayStep] {
        var now: [NamePlace: Shown] = [:]
        for (place, _, shown) in changes { now[place] = shown }
        return ReplayPlan(
            changes.map {
                .entry(directory: $0.0.directory, name: $0.0.name, before: $0.1)
            } + more,
            now: { now[$0] }, isWatched: { watched.contains($0.rawValue) }
        ).steps
    }

    @Test
    func `a directory comes before what is put into it, whatever the order`() {
        let (inner, outer) = (directory(11), directory(10))
        #expect(
            steps(
                [
                    (place(10, "inner"), nil, inner), (place(2, "f"), file(20), nil),
                    (place(11, "f"), nil, file(20)), (place(1, "outer"), nil, outer),
                ], watched: [1, 2, 10, 11])
                == [
                    .create(outer, place(1, "outer")), .create(inner, place(10, "inner")),
                    .move(file(20), from: place(2, "f"), to: place(11, "f"), over: nil),
                ])
    }

    @Test
    func `a name that came and went at once was never there`() {
        let name = place(1, "f (conflict)")
        #expect(steps([(name, nil, nil), (name, file(11), nil)]) == [.forget(name)])
        // What counts is what showed before all of it.
        #expect(
            steps([(name, file(11), nil), (name, file(12), nil)]) == [.remove(file(11), name)])
    }

    @Test
    func `a file that got another name and other bytes shows both`() {
        let (name, node) = (place(1, "b"), NodeID(rawValue: 11))
        // New to the kernel: it meets the file as it is.
        #expect(
            steps([(name, nil, file(11))], more: [.content(node), .attributes(node)])
                == [.create(file(11), name)])
        #expect(
            steps(
                [(name, nil, file(11))], more: [.content(node), .attributes(node)],
                watched: [1, 11])
                == [.create(file(11), name), .content(node)])
    }

    @Test
    func `names are free before they are taken`() {
        #expect(
            steps([
                (place(1, "b"), file(12), file(11)), (place(1, "c"), nil, file(12)),
                (place(1, "a"), file(11), file(13)),
            ])
                == [
                    .move(file(12), from: place(1, "b"), to: place(1, "c"), over: nil),
                    .move(file(11), from: place(1, "a"), to: place(1, "b"), over: nil),
                    .create(file(13), place(1, "a")),
                ])
    }

    @Test
    func `what is replaced for good is replaced by the move`() {
        #expect(
            steps([(place(1, "a"), file(11), nil), (place(1, "b"), file(12), file(11))])
                == [.move(file(11), from: place(1, "a"), to: place(1, "b"), over: file(12))])
        #expect(
            steps([(place(1, "a"), file(11), nil), (place(1, "b"), directory(12), file(11))])
                == [
                    .remove(directory(12), place(1, "b")),
                    .move(file(11), from: place(1, "a"), to: place(1, "b"), over: nil),
                ])
    }

    @Test
    func `two that change places are exchanged, and three in a circle are not told of`() {
        #expect(
            steps([(place(1, "a"), file(11), file(12)), (place(2, "b"), file(12), file(11))])
                == [.exchange(file(12), place(2, "b"), file(11), place(1, "a"))])
        let circle = steps([
            (place(1, "a"), file(11), file(12)), (place(1, "b"), file(12), file(13)),
            (place(1, "c"), file(13), file(11)),
        ])
        #expect(!circle.isEmpty)
        for step in circle {
            guard case .forget = step else {
                Issue.record("\(step)")
                continue
            }
        }
    }

    @Test
    func `what is in a directory goes before it, and what moves out stays`() {
        #expect(
            steps(
                [
                    (place(1, "d"), directory(10), nil), (place(10, "x"), file(11), nil),
                    (place(10, "y"), file(12), nil), (place(1, "y"), nil, file(12)),
                ], watched: [1, 10])
                == [
                    .move(file(12), from: place(10, "y"), to: place(1, "y"), over: nil),
                    .remove(file(11), place(10, "x")), .remove(directory(10), place(1, "d")),
                ])
    }

    @Test
    func `directories that nobody has in use are left alone`() {
        #expect(
            steps([(place(9, "a"), nil, file(11)), (place(9, "b"), file(12), nil)]).isEmpty)
    }

    @Test
    func `content and attributes are told once, and not of what is new`() {
        let node = NodeID(rawValue: 20)
        #expect(
            steps(
                [(place(1, "new"), nil, file(11))],
                more: [
                    .content(NodeID(rawValue: 11)), .content(node), .attributes(node),
                    .derived(node), .content(node),
                ])
                == [
                    .create(file(11), place(1, "new")), .content(node), .forgetAttributes(node),
                ])
    }
}
