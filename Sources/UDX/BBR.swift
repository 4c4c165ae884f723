/// Congestion control by a model of the path, its bandwidth and its round trip: BBR version 1 (Cardwell
/// et al., "BBR: Congestion-Based Congestion Control", 2016), which random loss does not slow down.
///
/// In bytes on the wire, bytes per second and nanoseconds. Two things differ from the paper: the window
/// has room for a few bursts and a millisecond of processing besides the path, since both ends work in
/// batches; and while the round trip is probed half of what the path holds stays in flight (as
/// in version 2), not four packets.
struct BBR: Sendable {
    enum Mode: Sendable { case startup, drain, probeBandwidth, probeRoundTrip }

    static let initialPackets = 10
    private static let minimumPackets = 4
    private static let highGain = 2.88539
    private static let cycle: InlineArray<8, Double> = [1.25, 0.75, 1, 1, 1, 1, 1, 1]
    private static let pacingMargin = 0.99
    private static let bandwidthRounds: UInt64 = 10
    private static let roundTripWindow = 10 * Nanoseconds.second
    private static let probeDuration = 200 * Nanoseconds.millisecond
    private static let fullGrowth = 1.25
    private static let fullRounds = 3
    /// Of what a round delivered; more lost says that a queue is full.
    private static let overflow = 0.5
    private static let aggregationRounds: UInt64 = 5
    private static let aggregationMax = 0.1
    private static let processing = 0.001
    private static let windowMax = 1 << 30

    private(set) var mode = Mode.startup
    /// Congestion window in bytes.
    private(set) var window: Int
    /// Of a full packet on the wire.
    var packetSize: Int
    /// Set when the pacing rate is new.
    private(set) var pacingRate: Double
    private var pacingGain = highGain
    private var windowGain = highGain

    private var bandwidthFilter = WindowedMaximum<Double>(window: bandwidthRounds)
    private(set) var smallestRoundTrip: UInt64?
    private var smallestRoundTripAt: UInt64 = 0

    private var round: UInt64 = 0
    private var isRoundStart = false
    private var nextRoundDelivered: UInt64 = 0
    private var roundStartDelivered: UInt64 = 0
    private var roundLost = 0
    /// So much was lost in the last round that a queue must be full.
    private var isOverflowing = false

    private var fullBandwidth = 0.0
    private var fullBandwidthRounds = 0
    private var isFull = false

    private var cycleIndex = 0
    private var cycleStart: UInt64 = 0

    private var probeDoneAt: UInt64?
    private var isProbeRoundDone = false
    private var isRestarting = false

    private var savedWindow = 0
    private var isConserving = false

    private var extraFilter = WindowedMaximum<Double>(window: aggregationRounds * 2)
    private var epochStart: UInt64 = 0
    private var epochDelivered = 0.0

    init(packetSize: Int, now: UInt64) {
        self.packetSize = packetSize
        window = Self.initialPackets * packetSize
        // As if the round trip were a millisecond, until it is known.
        pacingRate = Double(window) * 1000 * Self.highGain
        smallestRoundTripAt = now
        epochStart = now
    }

    /// Bytes per second; 0 before the first sample.
    var bandwidth: Double { bandwidthFilter.value ?? 0 }

    // MARK: Events

    /// Something was acknowledged.
    mutating func acknowledged(
        _ sample: DeliveryRate.Sample, rate: Double?, delivered: UInt64, priorInFlight: Int,
        inFlight: Int, now: UInt64
    ) {
        updateRound(sample, delivered: delivered)
        if let rate, !sample.isApplicationLimited || rate >= bandwidth {
            bandwidthFilter.add(rate, at: round)
        }
        updateAggregation(sample, now: now)
        updateCycle(sample, priorInFlight: priorInFlight, now: now)
        checkFull(sample)
        checkDrain(inFlight: inFlight, now: now)
        updateSmallestRoundTrip(sample, delivered: delivered, inFlight: inFlight, now: now)
        updateGains()
        updatePacing(sample)
        updateWindow(sample, delivered: delivered, inFlight: inFlight)
    }

    /// The first loss after a time without. If the last round lost much, only what was delivered is
    /// sent for one round; else each loss takes its own size off the window and no more, so that chance
    /// losses do not hold up the start.
    mutating func enterRecovery(inFlight: Int, newlyDelivered: Int, delivered: UInt64) {
        saveWindow()
        guard isOverflowing else { return }
        isConserving = true
        nextRoundDelivered = delivered
        window = max(inFlight + newlyDelivered, packetSize)
    }

    mutating func leaveRecovery() {
        isConserving = false
        window = max(window, savedWindow)
    }

    /// Nothing was heard for long: one packet at first.
    mutating func timedOut(inFlight: Int) {
        saveWindow()
        isConserving = false
        fullBandwidth = 0
        fullBandwidthRounds = 0
        isFull = false
        window = inFlight + packetSize
    }

    /// Sending starts again after everything was acknowledged and nothing was left to send.
    mutating func restarted(now: UInt64) {
        isRestarting = true
        epochStart = now
        epochDelivered = 0
        if mode == .probeBandwidth { pacingRate = max(1, bandwidth * Self.pacingMargin) }
    }

    // MARK: The model

    private mutating func updateRound(_ sample: DeliveryRate.Sample, delivered: UInt64) {
        isRoundStart = sample.isUsable && sample.priorDelivered >= nextRoundDelivered
        roundLost += sample.lost
        guard isRoundStart else { return }
        let roundDelivered = Double(delivered - min(roundStartDelivered, delivered))
        isOverflowing = Double(roundLost) > Self.overflow * roundDelivered
        roundStartDelivered = delivered
        roundLost = 0
        nextRoundDelivered = delivered
        round += 1
        isConserving = false
    }

    /// Acknowledgements that come in lumps: the window is widened by the largest lump, so that the
    /// path does not run dry before the next.
    private mutating func updateAggregation(_ sample: DeliveryRate.Sample, now: UInt64) {
        let elapsed = Double(now - min(epochStart, now)) / 1e9
        var expected = bandwidth * elapsed
        if epochDelivered <= expected {
            epochStart = now
            epochDelivered = 0
            expected = 0
        }
        epochDelivered += Double(sample.newlyDelivered)
        extraFilter.add(min(epochDelivered - expected, Double(window)), at: round)
    }

    private mutating func updateCycle(
        _ sample: DeliveryRate.Sample, priorInFlight: Int, now: UInt64
    ) {
        guard mode == .probeBandwidth else { return }
        let isLong = now - min(cycleStart, now) > smallestRoundTrip ?? 0
        let isDone =
            switch pacingGain {
            case ..<1: isLong || priorInFlight <= inFlightTarget(gain: 1)
            case 1: isLong
            default:
                isLong && (sample.lost > 0 || priorInFlight >= inFlightTarget(gain: pacingGain))
            }
        if isDone { enterPhase((cycleIndex + 1) % 8, now: now) }
    }

    private mutating func checkFull(_ sample: DeliveryRate.Sample) {
        guard !isFull, isRoundStart, !sample.isApplicationLimited else { return }
        if bandwidth >= fullBandwidth * Self.fullGrowth {
            fullBandwidth = bandwidth
            fullBandwidthRounds = 0
            return
        }
        fullBandwidthRounds += 1
        // Many losses besides say that the queue is full as well: no need to wait.
        isFull = isOverflowing || fullBandwidthRounds >= Self.fullRounds
    }

    private mutating func checkDrain(inFlight: Int, now: UInt64) {
        if mode == .startup, isFull { mode = .drain }
        if mode == .drain, inFlight <= inFlightTarget(gain: 1) { enterProbeBandwidth(now: now) }
    }

    private mutating func updateSmallestRoundTrip(
        _ sample: DeliveryRate.Sample, delivered: UInt64, inFlight: Int, now: UInt64
    ) {
        let isStale = now > smallestRoundTripAt + Self.roundTripWindow
        if let roundTrip = sample.roundTrip, isStale || roundTrip <= smallestRoundTrip ?? .max {
            smallestRoundTrip = roundTrip
            smallestRoundTripAt = now
        }
        if isStale, !isRestarting, mode != .probeRoundTrip {
            mode = .probeRoundTrip
            saveWindow()
            probeDoneAt = nil
        }
        if mode == .probeRoundTrip {
            probeRoundTrip(delivered: delivered, inFlight: inFlight, now: now)
        }
        isRestarting = false
    }

    private mutating func probeRoundTrip(delivered: UInt64, inFlight: Int, now: UInt64) {
        guard let doneAt = probeDoneAt else {
            if inFlight <= probeWindow {
                probeDoneAt = now + Self.probeDuration
                isProbeRoundDone = false
                nextRoundDelivered = delivered
            }
            return
        }
        if isRoundStart { isProbeRoundDone = true }
        guard isProbeRoundDone, now > doneAt else { return }
        smallestRoundTripAt = now
        window = max(window, savedWindow)
        if isFull { enterProbeBandwidth(now: now) } else { mode = .startup }
    }

    private mutating func enterProbeBandwidth(now: UInt64) {
        mode = .probeBandwidth
        enterPhase(4, now: now)
    }

    private mutating func enterPhase(_ index: Int, now: UInt64) {
        cycleIndex = index
        cycleStart = now
    }

    // MARK: What follows from it

    private mutating func updateGains() {
        switch mode {
        case .startup: (pacingGain, windowGain) = (Self.highGain, Self.highGain)
        case .drain: (pacingGain, windowGain) = (1 / Self.highGain, Self.highGain)
        case .probeBandwidth: (pacingGain, windowGain) = (Self.cycle[cycleIndex], 2)
        case .probeRoundTrip: (pacingGain, windowGain) = (1, 1)
        }
    }

    private mutating func updatePacing(_ sample: DeliveryRate.Sample) {
        guard bandwidth > 0 else {
            if let roundTrip = sample.roundTrip {
                pacingRate = Double(window) * 1e9 / Double(max(roundTrip, 1)) * Self.highGain
            }
            return
        }
        let rate = bandwidth * pacingGain * Self.pacingMargin
        if isFull || rate > pacingRate { pacingRate = rate }
    }

    private mutating func updateWindow(
        _ sample: DeliveryRate.Sample, delivered: UInt64, inFlight: Int
    ) {
        let acknowledged = sample.newlyDelivered
        if sample.lost > 0 { window = max(window - sample.lost, packetSize) }
        if isConserving {
            window = max(window, inFlight + acknowledged)
        } else {
            let target = inFlightTarget(gain: windowGain) + aggregation
            if isFull {
                window = min(window + acknowledged, target)
            } else if window < target || delivered < UInt64(Self.initialPackets * packetSize) {
                window += acknowledged
            }
            window = max(window, Self.minimumPackets * packetSize)
        }
        window = min(window, Self.windowMax)
        if mode == .probeRoundTrip { window = min(window, probeWindow) }
    }

    private mutating func saveWindow() {
        savedWindow = isConserving || mode == .probeRoundTrip ? max(savedWindow, window) : window
    }

    /// What the path holds at a multiple of the bandwidth, and what the ends' batches add to it.
    private func inFlightTarget(gain: Double) -> Int {
        guard let smallestRoundTrip, bandwidth > 0 else {
            return Self.initialPackets * packetSize
        }
        let path = bandwidth * Double(smallestRoundTrip) / 1e9
        let burst = min(max(bandwidth / 1000, 2 * Double(packetSize)), 65536)
        return Self.bytes(path * gain + bandwidth * Self.processing + 3 * burst)
    }

    private var probeWindow: Int {
        let path = bandwidth * Double(smallestRoundTrip ?? 0) / 1e9
        return max(Self.bytes(path / 2), Self.minimumPackets * packetSize)
    }

    private var aggregation: Int {
        guard isFull else { return 0 }
        return Self.bytes(min(extraFilter.value ?? 0, bandwidth * Self.aggregationMax))
    }

    private static func bytes(_ value: Double) -> Int { Int(min(max(value, 0), Double(windowMax))) }
}
