// modules: Base Wire Protomux
import Base
import Protomux
import Wire

/// The bytes are messages, each with its length in front, of a peer that says what it likes; between
/// them our side opens, closes and answers as a flag byte says.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    run(Array(UnsafeBufferPointer(start: data, count: count)))
    return 0
}

private func run(_ bytes: [UInt8]) {
    var mux = Protomux()
    var channels = [mux.open("p"), mux.open("hypercore/alpha", id: [1, 2], handshake: [3])]
    var events: [Protomux.Event] = []
    // The whole input as one message first, so that published frames are good inputs.
    var other = mux
    try? other.receive(bytes.span, events: &events)
    check(events, other)

    var reader = WireReader(bytes.span)
    while !reader.isAtEnd {
        events.removeAll()
        do {
            let flags = try reader.readUInt8()
            let message = try reader.readBufferSpan(max: 1 << 20)
            try mux.receive(message, events: &events)
            act(flags, events, &mux, &channels)
        } catch {
            break
        }
        check(events, mux)
    }
}

private func act(
    _ flags: UInt8, _ events: [Protomux.Event], _ mux: inout Protomux,
    _ channels: inout [Protomux.ChannelID]
) {
    if flags & 1 != 0 { mux.cork() }
    for event in events {
        guard case .openRequested(let name, let id) = event else { continue }
        if flags & 2 != 0 {
            channels.append(mux.open(name, id: id))
        } else if flags & 4 != 0 {
            mux.reject(protocolName: name, id: id)
        }
    }
    if let channel = channels.first, flags & 8 != 0 {
        mux.close(channel)
        channels.removeFirst()
    }
    if flags & 16 != 0, channels.count < 50 { channels.append(mux.open("p")) }
    if let channel = channels.last { mux.send(channel, type: Int(flags), payload: [flags]) }
    if flags & 1 != 0 { mux.uncork() }
    _ = mux.takeMessages()
}

/// Only channels that we opened are reported, and messages within what came in.
private func check(_ events: [Protomux.Event], _ mux: Protomux) {
    for case .message(_, let type, _) in events { precondition(type >= 0) }
}
