package import Base

/// A way to get byte streams to the peers of a topic: `direct` (TCP to known addresses), and in
/// time `hyperswarm` (UDP, through the DHT) and `relay` (WebSocket).
///
/// A transport is mechanism. Whom to dial and when, how often to retry, which of two connections
/// to keep and how many peers are enough is policy, the same for all of them, and lives in
/// `PeerBook`. A transport opens no connection by itself: it reports addresses that it finds
/// (`TransportObserver.found`) and is told which to dial.
///
/// All calls come from, and all reports go out on, the one event loop thread it was made for.
package protocol Transport: AnyObject {
    /// As `--transport` names it, and `status` shows it.
    var name: String { get }

    /// Announces and looks up, and keeps both fresh until `disconnect`.
    func connect(_ topic: Bytes32)
    /// Lets others find and reach this device under `topic`.
    func announce(_ topic: Bytes32)
    /// Searches once; reports what it finds as it comes.
    func lookup(_ topic: Bytes32)
    /// Withdraws what was announced, stops searching, gives up dials under way and accepts no
    /// more. Streams already handed over live on. `connect` may follow.
    func disconnect()

    /// Tries once to open a stream; answers with `opened` or `dialFailed`, unless `disconnect`
    /// comes first.
    func dial(_ address: PeerAddress)
    /// Where this transport can be reached now: hints for invite links.
    var addresses: [PeerAddress] { get }
}

/// What a transport reports. Calls come on the event loop thread.
package protocol TransportObserver: AnyObject, Sendable {
    func transport(_ transport: any Transport, found address: PeerAddress)
    /// A stream is there, by dialing `dialed` or because a peer dialed us (nil). The observer
    /// calls `start` to have it, or `abort` to refuse it.
    func transport(
        _ transport: any Transport, opened stream: any ByteStream, dialed: PeerAddress?)
    func transport(
        _ transport: any Transport, dialFailed address: PeerAddress, reason: String)
}

/// A reliable, ordered byte stream to one peer. Confined to its event loop thread.
package protocol ByteStream: AnyObject {
    /// The other end for people, as in `127.0.0.1:4711`.
    var address: String { get }
    /// What limits on strangers count by: an IPv4 address, or the /64 of an IPv6 address.
    var origin: String { get }
    /// Bytes given to `send` that have not left.
    var queuedBytes: Int { get }

    /// Begins reading; every report carries `number`. `observer` is held weakly.
    func start(observer: any ByteStreamObserver, number: UInt64)
    /// Queues bytes; they leave with the next `flush`, in order.
    func send(_ bytes: [UInt8])
    /// Gives to the network what it takes now; the rest follows by itself as it drains.
    func flush()
    /// Sends what is queued, then closes; nothing is reported any more.
    func finish()
    /// Closes at once; nothing is reported any more.
    func abort()
}

/// What a stream reports to its owner.
package protocol ByteStreamObserver: AnyObject {
    func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>)
    /// The queue got shorter.
    func streamDrained(_ number: UInt64, queuedBytes: Int)
    /// The stream ended by the other side or by a failure; the last report.
    func streamClosed(_ number: UInt64, reason: String)
}
