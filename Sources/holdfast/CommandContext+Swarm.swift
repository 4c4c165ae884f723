import Base
import Crypto
import DHT
import Host

// The commands that work with the DHT itself.
extension CommandContext {
    /// Runs a node until a signal comes.
    func dht() throws(CommandFailure) {
        let relayKey = parsed.isSet("blind-relay") ? try service.relayKey() : nil
        try nodeService(relayKey: relayKey).run(say: say)
    }

    /// Runs a node that looks topics up, until a signal comes.
    func warm() throws(CommandFailure) {
        let topics = try TopicArgument.parse(try linkArgument())
        var warmer = TopicWarmer(topics, now: monotonicNow())
        let node = try nodeService(relayKey: nil)
        var isReady = false
        var random = SecureRandom()
        try node.run(say: say) { note throws(CommandFailure) in
            switch note {
            case .event(let event):
                if event == .ready { isReady = true }
                if let finding = warmer.handle(event, now: monotonicNow(), using: &random) {
                    console.writeLine(parsed.isSet("json") ? try json(finding) : finding.text)
                }
            case .tick, .stop: break
            }
            guard isReady else { return }
            for topic in warmer.due(now: monotonicNow()) {
                let id = node.host.perform { node, now, effects in
                    node.lookup(topic, now: now, into: &effects)
                }
                if let id { warmer.began(id, topic: topic, now: monotonicNow()) }
            }
        }
    }

    /// Says what this machine and its network allow.
    func doctor() throws(CommandFailure) {
        let report = DoctorReport(
            network: surroundings.examineNetwork(NodeOptions.bootstrap(parsed)),
            machine: surroundings.examineMachine(environment["PATH"] ?? ""))
        console.write(parsed.isSet("json") ? try json(report) + "\n" : report.text)
        if let failure = report.failure { throw failure }
    }

    private func nodeService(relayKey: KeyPair?) throws(CommandFailure) -> NodeService {
        let options = try NodeOptions(parsed)
        for problem in options.problems { console.writeError("holdfast: \(problem)\n") }
        return try NodeService(options, relayKey: relayKey, signals: surroundings.signals)
    }

    /// What changes goes to standard output; the counts of each minute are the log's.
    private func say(_ report: NodeReport) throws(CommandFailure) {
        if parsed.isSet("json") { return console.writeLine(try json(report)) }
        guard report.event == .counts else { return console.writeLine(report.text) }
        console.writeError("\(Log.text(of: wallNow())) \(report.text)\n")
    }
}
