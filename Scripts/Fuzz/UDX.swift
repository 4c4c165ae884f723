// modules: Base Wire UDX
import Base
import UDX
import Wire

/// The bytes are the datagrams of a peer that says what it likes, each with its length and a flag byte
/// in front; between them our side writes, waits, ends and moves as the flags say.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    run(Array(UnsafeBufferPointer(start: data, count: count)))
    return 0
}

private func run(_ bytes: [UInt8]) {
    var configuration = UDXConfiguration()
    configuration.receiveWindow = 100_000
    var stream = UDXStream(localID: 11, configuration: configuration)
    var now = Instant(nanoseconds: 1_000_000_000)
    let remote = NetworkEndpoint(address: .v4(0x7f00_0001), port: 1)
    var received: [UInt8] = []
    var events: [UDXEvent] = []
    var batch = DatagramBatch()
    // The whole input as one datagram first, so that published packets are good inputs.
    stream.receive(bytes.span, now: now, received: &received, events: &events)
    stream.connect(remoteID: 22, remote: remote, via: .server, now: now)

    var reader = WireReader(bytes.span)
    while !reader.isAtEnd {
        batch.removeAll()
        received.removeAll(keepingCapacity: true)
        events.removeAll()
        guard let flags = try? reader.readUInt8() else { break }
        guard let packet = try? reader.readBuffer(max: 4096) else { break }
        // Most packets are for this stream: the form is filled in, the rest is the input's.
        var datagram = packet
        if flags & 1 == 0 {
            datagram = [0xff, 1, flags >> 1 & 0x3f, 0, 11, 0, 0, 0] + packet
        }
        stream.receive(datagram.span, now: now, received: &received, events: &events)
        precondition(received.count <= 250_000)
        if flags & 2 != 0 { stream.write([UInt8](repeating: 1, count: Int(flags) * 40).span) }
        if flags & 4 != 0 { now = now + .milliseconds(Int64(flags)) }
        if flags & 0xf8 == 0xf8 { stream.finish() }
        if flags & 0xf8 == 0xf0 {
            stream.changeRemote(remoteID: 23, remote: remote, via: .client, now: now)
        }
        stream.advance(now: now, events: &events)
        stream.flush(now: now, into: &batch)
        precondition(batch.entries.allSatisfy { (20...1472).contains($0.range.count) })
        precondition(batch.entries.count < 5000)
        precondition(stream.deadline > now, "due again at once")
        if stream.isClosed { break }
    }
}
