internal import Wire

/// A test of whether strangers reach the server socket, under way (`dht.md` 7.2).
struct NetworkCheck: Sendable {
    static let nodesAsked = 5

    /// Leave `isEphemeral` as it is.
    let onlyFirewall: Bool
    /// Part of the bootstrap, which waits for it.
    let isBootstrap: Bool
    /// What we took for our address when it began.
    let host: UInt32
    let port: UInt16
    let asked: Int
    var unsettled: Int
    /// What those saw who reached the server socket.
    var sampler = NATSampler()

    var reached: Int { sampler.sampleCount }

    /// Whether enough of them reached it, at the very port it is bound to. A forwarding that changes
    /// the port does not count: ids are made from the address that is told.
    func isPassed(serverPort: UInt16) -> Bool {
        let needed = asked >= Self.nodesAsked ? 3 : 1
        return reached >= needed && sampler.host == host && sampler.port != 0
            && sampler.port == serverPort
    }
}
