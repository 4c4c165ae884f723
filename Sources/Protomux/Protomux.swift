internal import Wire

/// Many channels over one connection of whole messages.
///
/// A channel is known by a protocol name and an id. Each side opens its half with an Open that carries
/// a handshake; once both have passed, the channel is open. Every side numbers its own halves from 1
/// and puts its own number on what it sends; what comes in is looked up among the numbers of the other
/// side. Number 0 is for control messages:
///
///     0 batch   messages of several channels in one
///     1 open    number uint, protocol string, id buffer, handshake to the end
///     2 reject  uint, the number that the opener used
///     3 close   uint, the number on the side that closes
///
/// No I/O: `receive` takes one message of the connection and appends what it means, `takeMessages`
/// gives what is to be sent. After a throw every further `receive` throws the same.
package struct Protomux: Sendable {
    /// One half-channel of this side. Never used again for another, unlike its number on the wire: an
    /// old one refers to nothing.
    package struct ChannelID: Hashable, Sendable {
        /// The number on the wire, from 1.
        let number: UInt64
        /// Counts the Opens of this side.
        let serial: UInt64
    }

    package enum Event: Equatable, Sendable {
        /// Both Opens have passed; `handshake` is the other side's.
        case opened(ChannelID, handshake: [UInt8])
        /// Types are numbered from 0 by the protocol; ignore unknown ones.
        case message(ChannelID, type: Int, payload: [UInt8])
        /// The other side has closed the channel, or rejected our Open.
        case closed(ChannelID)
        /// The other side opens a channel for which there is no Open of ours. Answer each with
        /// `open` or `reject` of the same name and id; messages are kept meanwhile.
        case openRequested(protocolName: String, id: [UInt8])
    }

    enum ControlType: UInt64 { case batch, open, reject, close }

    /// A half-channel of ours.
    struct LocalHalf: Sendable {
        enum State: Equatable, Sendable {
            /// No Open of the other side has been matched with ours yet.
            case unmatched
            /// Closed before the other side answered: the number is taken until it does.
            case abandoned
            case matched(remoteNumber: UInt64)
        }

        let channel: ChannelID
        let protocolName: String
        let id: [UInt8]
        var state = State.unmatched
    }

    /// A half-channel of the other side.
    enum RemoteHalf: Equatable, Sendable {
        case free
        /// Its Open is among `waitingOpens`.
        case waiting
        case matched(localNumber: UInt64)
    }

    /// An Open of the other side that waits for our answer, and what came after it.
    struct WaitingOpen: Sendable {
        let remoteNumber: UInt64
        let protocolName: String
        let id: [UInt8]
        let handshake: [UInt8]
        var messages: [(type: Int, payload: [UInt8])] = []
        var keptBytes: Int
    }

    // The half with number n is at n - 1.
    var localHalves: [LocalHalf?] = []
    var remoteHalves: [RemoteHalf] = []
    /// In the order of their arrival.
    var waitingOpens: [WaitingOpen] = []
    var keptBytes = 0
    var outbox = Outbox()
    /// What `open` found out; handed up by `takeEvents` or with the next `receive`.
    var pendingEvents: [Event] = []
    var failure: ProtomuxError?
    private var nextSerial: UInt64 = 0

    package init() {}

    // MARK: Channels

    /// Opens our half of a channel. Messages may be sent at once.
    ///
    /// If the other side's Open is already here, the channel is open: `opened` and the messages kept
    /// for it are among the next events. Call `takeEvents` afterwards, so that they need not wait for
    /// the next `receive`.
    /// - Precondition: name and id have at most `Limits.nameSizeMax` bytes.
    @discardableResult
    package mutating func open(
        _ protocolName: String, id: [UInt8] = [], handshake: [UInt8] = []
    ) -> ChannelID {
        precondition(protocolName.utf8.count <= Limits.nameSizeMax, "a longer name than peers take")
        precondition(id.count <= Limits.nameSizeMax, "a longer id than peers take")
        let index = localHalves.firstIndex { $0 == nil } ?? localHalves.count
        if index == localHalves.count { localHalves.append(nil) }
        let channel = ChannelID(number: UInt64(index) + 1, serial: nextSerial)
        nextSerial += 1
        localHalves[index] = LocalHalf(channel: channel, protocolName: protocolName, id: id)

        var body = WireWriter(reserving: 32 + protocolName.utf8.count + id.count + handshake.count)
        body.writeUInt(channel.number)
        body.writeString(protocolName)
        body.writeBuffer(id)
        body.writeRaw(handshake)
        outbox.add(channel: 0, type: ControlType.open.rawValue, payload: body.bytes.span)

        if let waiting = takeWaitingOpen(where: { $0.id == id && $0.protocolName == protocolName })
        {
            match(local: channel.number, remote: waiting.remoteNumber)
            pendingEvents.append(.opened(channel, handshake: waiting.handshake))
            for message in waiting.messages {
                pendingEvents.append(
                    .message(channel, type: message.type, payload: message.payload))
            }
        }
        return channel
    }

    /// Refuses the oldest Open of the other side that waits under this name and id; nothing if there
    /// is none (any more).
    package mutating func reject(protocolName: String, id: [UInt8] = []) {
        guard
            let waiting = takeWaitingOpen(where: {
                $0.id == id && $0.protocolName == protocolName
            })
        else { return }
        rejectOpen(waiting.remoteNumber)
    }

    /// Closes our channel at once; nothing if it is closed already. No event comes of it, and none of
    /// its messages afterwards.
    package mutating func close(_ channel: ChannelID) {
        guard let half = localHalf(channel) else { return }
        sendControl(.close, channel.number)
        pendingEvents.removeAll { $0.channel == channel }
        switch half.state {
        case .matched(let remoteNumber):
            remoteHalves[Self.index(remoteNumber)] = .free
            localHalves[Self.index(channel.number)] = nil
        case .unmatched, .abandoned:
            localHalves[Self.index(channel.number)]?.state = .abandoned
        }
    }

    /// Whether `channel` is ours and has not been closed by either side; it may not be open yet.
    package func isAlive(_ channel: ChannelID) -> Bool { localHalf(channel) != nil }

    package mutating func send(_ channel: ChannelID, type: Int, payload: [UInt8]) {
        send(channel, type: type, payload: payload.span)
    }

    /// Sends a message on a channel, open or not yet; nothing if it has been closed.
    ///
    /// - Precondition: the type is not negative; at most `Limits.payloadSizeMax` bytes.
    package mutating func send(_ channel: ChannelID, type: Int, payload: Span<UInt8>) {
        precondition(type >= 0, "a negative type")
        precondition(payload.count <= Limits.payloadSizeMax, "\(payload.count) bytes at once")
        guard localHalf(channel) != nil else { return }
        outbox.add(channel: channel.number, type: UInt64(type), payload: payload)
    }

    // MARK: Sending

    /// From here to the matching `uncork`, everything to be sent is collected in batches. Nests.
    package mutating func cork() { outbox.cork() }
    package mutating func uncork() { outbox.uncork() }

    /// What is to be sent, each a whole message of the connection, in order; nothing that is corked.
    package mutating func takeMessages() -> [[UInt8]] { outbox.take() }

    /// Appends the events that `open` brought about.
    package mutating func takeEvents(into events: inout [Event]) {
        guard !pendingEvents.isEmpty else { return }
        events += pendingEvents
        pendingEvents.removeAll()
    }

    // MARK: Details

    static func index(_ number: UInt64) -> Int { Int(truncatingIfNeeded: number) &- 1 }

    /// The half that `channel` names, unless it has been closed.
    func localHalf(_ channel: ChannelID) -> LocalHalf? {
        let index = Self.index(channel.number)
        guard localHalves.indices.contains(index), let half = localHalves[index],
            half.channel == channel, half.state != .abandoned
        else { return nil }
        return half
    }

    mutating func match(local: UInt64, remote: UInt64) {
        localHalves[Self.index(local)]?.state = .matched(remoteNumber: remote)
        remoteHalves[Self.index(remote)] = .matched(localNumber: local)
    }

    mutating func takeWaitingOpen(where isWanted: (WaitingOpen) -> Bool) -> WaitingOpen? {
        guard let index = waitingOpens.firstIndex(where: isWanted) else { return nil }
        let waiting = waitingOpens.remove(at: index)
        keptBytes -= waiting.keptBytes
        return waiting
    }

    mutating func rejectOpen(_ remoteNumber: UInt64) {
        remoteHalves[Self.index(remoteNumber)] = .free
        sendControl(.reject, remoteNumber)
    }

    mutating func sendControl(_ type: ControlType, _ number: UInt64) {
        var body = WireWriter()
        body.writeUInt(number)
        outbox.add(channel: 0, type: type.rawValue, payload: body.bytes.span)
    }
}

extension Protomux.Event {
    /// The channel it is about, if it is about one of ours.
    var channel: Protomux.ChannelID? {
        switch self {
        case .opened(let channel, _), .message(let channel, _, _), .closed(let channel): channel
        case .openRequested: nil
        }
    }
}

extension Protomux.ChannelID: CustomStringConvertible {
    package var description: String { "channel \(number) (\(serial))" }
}
