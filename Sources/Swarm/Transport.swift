package import Base
package import Noise

/// A way to get byte streams to the peers of a topic, or at least to hear of them:
///
///     hyperswarm   UDP through the DHT: finds devices by topic and dials them by their key
///     direct       TCP to known addresses, and from whoever dials us
///     lan          multicast on the local network: finds addresses, which `direct` dials
///
/// A transport is mechanism. Whom to dial and when, how often to retry, which of two connections
/// to keep and how many peers are enough is policy, the same for all of them, and lives in
/// `PeerBook`. A transport opens no connection by itself: it reports what it finds
/// (`TransportObserver.found`) and is told what to dial, if it can (`dials`). Several work side by
/// side for one share: that is `auto`.
///
/// To add one: conform, report to the observer that the host hands over, and list the new one where
/// the command line makes transports. Streams are `ByteStream`s; one that was authenticated on the
/// way carries its `handshake`, any other gets one from the share.
///
/// All calls come from, and all reports go out on, the one event loop thread it was made for.
package protocol Transport: AnyObject {
    /// As `--transport` names it, and `status` shows it.
    var name: String { get }
    /// What keeps it from its work, in words for people; nil while all is well.
    var problem: String? { get }

    // What is done about a topic until `leave` or `disconnect`. The last call counts.

    /// Announces and looks up, and keeps both fresh.
    func connect(_ topic: Bytes32)
    /// Lets others find and reach this device under `topic`.
    func announce(_ topic: Bytes32)
    /// Searches now and again; reports what it finds as it comes.
    func lookup(_ topic: Bytes32)
    /// Withdraws what was announced under `topic`, and stops searching for it.
    func leave(_ topic: Bytes32)
    /// Leaves all topics, gives up dials under way and accepts no more. Streams already handed over
    /// live on. Calls about topics may follow.
    func disconnect()
    /// A peer was lost, or there is reason to think that the network has changed: searches at once,
    /// within reason.
    func searchAgain()

    /// Whether `dial` is to be called with such a target.
    func dials(_ target: DialTarget) -> Bool
    /// Tries once to open a stream; answers with `opened` or `dialFailed`, unless `disconnect`
    /// comes first.
    func dial(_ target: DialTarget)
    /// The other end of a stream of some transport has proved to be a device of the share: worth
    /// remembering how it was reached.
    func proved(_ stream: any ByteStream, wasDialed: Bool)
    /// Where this transport can be reached now: hints for invite links.
    var addresses: [PeerAddress] { get }
}

extension Transport {
    package var problem: String? { nil }
    package func searchAgain() {}
    package func proved(_ stream: any ByteStream, wasDialed: Bool) {}
}

/// What a transport reports. Calls come on the event loop thread.
package protocol TransportObserver: AnyObject, Sendable {
    func transport(_ transport: any Transport, found target: DialTarget)
    /// A stream is there, by dialing `dialed` or because a peer dialed us (nil). The observer
    /// calls `start` to have it, or `abort` to refuse it.
    func transport(
        _ transport: any Transport, opened stream: any ByteStream, dialed: DialTarget?)
    func transport(
        _ transport: any Transport, dialFailed target: DialTarget, reason: String)
    /// This machine's addresses, or those that others see, have changed.
    func transportNoticedNetworkChange(_ transport: any Transport)
}

/// A reliable, ordered byte stream to one peer. Confined to its event loop thread.
package protocol ByteStream: AnyObject {
    /// The other end for people, as in `127.0.0.1:4711`.
    var address: String { get }
    /// What limits on strangers count by: an IPv4 address, or the /64 of an IPv6 address.
    var origin: String { get }
    /// May change while the stream lives.
    var path: PeerPath { get }
    /// Nil if not measured.
    var roundTripTime: Duration? { get }
    /// What a handshake on the way to this stream has left: the stream's first bytes are then those
    /// after a handshake. Nil if none has been done.
    var handshake: HandshakeResult? { get }
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
    /// The network has changed: fails the stream soon unless the other end shows that it is there.
    /// The share sends something at the same time, so that there is something to answer.
    func verify(now: Instant)
}

/// What a stream reports to its owner.
package protocol ByteStreamObserver: AnyObject {
    func streamReceived(_ number: UInt64, _ bytes: Span<UInt8>)
    /// The queue got shorter.
    func streamDrained(_ number: UInt64, queuedBytes: Int)
    /// The stream ended by the other side or by a failure; the last report.
    func streamClosed(_ number: UInt64, reason: String)
}
