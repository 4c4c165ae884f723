import Base
import Share

/// What stands for topics on a command line: an invite link, or a topic as it is.
enum TopicArgument {
    /// - Returns: the topics, with what each is called.
    static func parse(_ text: String) throws(CommandFailure) -> [(name: String, topic: Bytes32)] {
        if text.lowercased().contains(InviteLink.scheme) {
            do throws(LinkError) {
                let keys = ShareKeys(shareKey: try InviteLink(parsing: text).shareKey)
                return [("data topic", keys.dataTopic), ("bootstrap topic", keys.bootstrapTopic)]
            } catch {
                throw CommandFailure(.wrongLink, "\(error)")
            }
        }
        let word = text.filter { !$0.isWhitespace }
        guard let topic = Bytes32(hex: word) ?? ZBase32.decode(word).flatMap({ Bytes32($0) }) else {
            throw CommandFailure(
                .wrongLink,
                "neither an invite link nor a topic: a link begins with \(InviteLink.scheme), a "
                    + "topic is 64 hexadecimal digits or 52 characters of z-base-32")
        }
        return [("topic", topic)]
    }
}
