/// How much may be in flight, and how fast it may leave: BBR, or a fixed window.
struct CongestionControl: Sendable {
    private var bbr: BBR
    private let fixedWindow: Int?

    init(_ choice: UDXConfiguration.Congestion, packetSize: Int, now: UInt64) {
        bbr = BBR(packetSize: packetSize, now: now)
        fixedWindow =
            switch choice {
            case .bbr: nil
            case .fixedWindow(let bytes): bytes
            }
    }

    /// Bytes on the wire that may be in flight.
    var window: Int { fixedWindow ?? bbr.window }
    /// Bytes per second.
    var pacingRate: Double { fixedWindow == nil ? bbr.pacingRate : .infinity }
    /// Bytes per second that the path is believed to carry; 0 if that is not known.
    var bandwidth: Double { bbr.bandwidth }
    /// A pacer for a path of which nothing is known yet.
    var pacer: Pacer { Pacer(rate: pacingRate, burst: window) }

    mutating func setPacketSize(_ size: Int) { bbr.packetSize = size }

    mutating func acknowledged(
        _ sample: DeliveryRate.Sample, rate: Double?, delivered: UInt64, priorInFlight: Int,
        inFlight: Int, now: UInt64
    ) {
        guard fixedWindow == nil else { return }
        bbr.acknowledged(
            sample, rate: rate, delivered: delivered, priorInFlight: priorInFlight,
            inFlight: inFlight, now: now)
    }

    mutating func enterRecovery(inFlight: Int, newlyDelivered: Int, delivered: UInt64) {
        bbr.enterRecovery(
            inFlight: inFlight, newlyDelivered: newlyDelivered, delivered: delivered)
    }

    mutating func leaveRecovery() { bbr.leaveRecovery() }
    mutating func timedOut(inFlight: Int) { bbr.timedOut(inFlight: inFlight) }
    mutating func restarted(now: UInt64) { bbr.restarted(now: now) }
}
