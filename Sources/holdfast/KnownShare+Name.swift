import Host

extension KnownShare {
    /// The share that a user names: by its name, its id, or how its id begins.
    static func named(_ word: String, among shares: [KnownShare]) throws(CommandFailure)
        -> KnownShare
    {
        let shown = EscapedText.quoted(String(word.prefix(200)))
        if let share = shares.first(where: { $0.id == word }) { return share }
        let found = shares.filter {
            $0.name == word || word.utf8.count >= idPartBytesMin && $0.id.hasPrefix(word)
        }
        if found.count > 1 {
            throw CommandFailure(
                .usage,
                "\(shown) is more than one share: name it by its id, as in "
                    + found.map(\.id).sorted().joined(separator: " or "))
        }
        guard let share = found.first else {
            throw CommandFailure(
                .notFound,
                "this device has no share \(shown): holdfast status lists those it has")
        }
        return share
    }

    /// Shorter beginnings of an id could be words that somebody meant as a name.
    private static let idPartBytesMin = 8
}
