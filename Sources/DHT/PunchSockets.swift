internal import Wire

/// The numbers of the sockets that are open to punch holes, and whose they are.
struct PunchSockets: Sendable {
    private let socketsMax: Int
    private var owners: [SocketID: ConnectionTag] = [:]
    /// Numbers are used in turn, so that a datagram late for a closed socket meets no new one.
    private var next = SocketID.firstPunch.rawValue

    init(socketsMax: Int) {
        self.socketsMax = min(socketsMax, Int(UInt16.max) / 2)
    }

    var count: Int { owners.count }

    func owner(of socket: SocketID) -> ConnectionTag? { owners[socket] }

    /// - Returns: nil if all are in use.
    mutating func take(for tag: ConnectionTag) -> SocketID? {
        guard owners.count < socketsMax else { return nil }
        while true {
            let socket = SocketID(rawValue: next)
            next = next == .max ? SocketID.firstPunch.rawValue : next + 1
            if owners[socket] == nil {
                owners[socket] = tag
                return socket
            }
        }
    }

    mutating func free(_ socket: SocketID) { owners[socket] = nil }
}
