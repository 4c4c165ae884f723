/// Notes from other threads to one that waits for them, in the order they were posted.
package final class Mailbox<Note: Sendable>: Sendable {
    private let notes = Gate<[Note]>([])

    package init() {}

    /// From any thread.
    package func post(_ note: Note) { notes.update { $0.append(note) } }

    /// Waits for the next note.
    package func next() -> Note {
        notes.wait { $0.isEmpty ? nil : $0.removeFirst() }
    }
}
