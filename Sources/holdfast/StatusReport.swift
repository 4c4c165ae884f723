import Host
import Share

/// What `status` shows of one share: the daemon's own account and whether there is a daemon.
struct StatusReport: Encodable {
    let isRunning: Bool
    let status: ShareStatus

    init(_ response: ControlResponse, of share: KnownShare) {
        isRunning = true
        status = response.status ?? Self.known(share)
    }

    init(running status: ShareStatus) {
        isRunning = true
        self.status = status
    }

    init(stopped share: KnownShare) {
        isRunning = false
        status = Self.known(share)
    }

    private static func known(_ share: KnownShare) -> ShareStatus {
        var status = ShareStatus()
        status.share = share.id
        status.name = share.name
        status.mountpoint = share.mountPoint
        return status
    }

    private enum Key: String, CodingKey { case running }

    /// The keys of `ShareStatus`, and `running` among them.
    func encode(to encoder: any Encoder) throws {
        try status.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(isRunning, forKey: .running)
    }
}
