internal import Chunks

extension NaiveText {
    /// Contents as the share encodes them; only those that travel with their operation can be told.
    package static let inline = NaiveText(
        bytes: { content in
            guard case .inline(let bytes) = try? Content(decoding: content) else { return nil }
            return bytes
        }, content: { Content.inline($0).encode() })
}
