package import DHT
package import Wire

/// Requests whose answers a thread waits for.
extension DHTHost {
    /// One request, to whom, and from which socket.
    package struct Inquiry: Sendable {
        package var request: DHTRequest
        package var destination: NetworkEndpoint
        package var socket: SocketID

        package init(
            _ request: DHTRequest, to destination: NetworkEndpoint, via socket: SocketID = .client
        ) {
            self.request = request
            self.destination = destination
            self.socket = socket
        }
    }

    /// Where an answer goes.
    struct Question {
        let index: Int
        let answers: Gate<Answers>
    }

    struct Answers: Sendable {
        var replies: [DHTReply?]
        var missing: Int
    }

    /// Asks all at once and waits until each has answered or kept silent: a second per try at most.
    ///
    /// - Parameter retries: tries after the first.
    /// - Returns: in the order of the inquiries; nil for those without an answer.
    package func ask(_ inquiries: [Inquiry], retries: Int) -> [DHTReply?] {
        guard !inquiries.isEmpty else { return [] }
        let answers = Gate(
            Answers(
                replies: Array(repeating: nil, count: inquiries.count), missing: inquiries.count))
        let isAsked: Bool? = onLoop { host, node in
            for (index, inquiry) in inquiries.enumerated() {
                let id = node.ask { node, now, effects in
                    node.request(
                        inquiry.request, to: inquiry.destination, via: inquiry.socket,
                        retries: retries, now: now, into: &effects)
                }
                // Noted before any answer is looked at: that is done in the loop's next round.
                host.questions[id] = Question(index: index, answers: answers)
            }
            return true
        }
        guard isAsked == true else { return Array(repeating: nil, count: inquiries.count) }
        return answers.wait { $0.missing == 0 ? $0.replies : nil }
    }

    func answer(_ id: RequestID, _ reply: DHTReply?) {
        guard let question = questions.removeValue(forKey: id) else { return }
        question.answers.update { answers in
            answers.replies[question.index] = reply
            answers.missing -= 1
        }
    }

    func giveUpQuestions() {
        for id in questions.keys.sorted() { answer(id, nil) }
    }
}
