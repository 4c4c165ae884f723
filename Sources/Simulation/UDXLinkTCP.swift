internal import Base

/// A TCP to compare with: CUBIC (RFC 9438) with an acknowledgement per packet, selective
/// acknowledgement without bounds, and loss found as soon as three later packets have arrived.
///
/// Better informed than a real one, and without its pacing: a yardstick, not an implementation.
package struct UDXLinkTCP {
    private static let payload = 1448
    private static let wireSize = 1472
    private static let beta = 0.7
    private static let growth = 0.4

    private struct Sending {
        var number: Int
        var sentAt: Instant
    }

    private var window = 10.0
    private var threshold = Double.infinity
    private var windowMax = 0.0
    private var epoch: Instant?
    /// By the number of the sending: what is in flight, oldest first.
    private var inFlight: [Int: Sending] = [:]
    private var oldestSending = 0
    private var nextSending = 0
    private var lost: [Int] = []
    private var nextNumber = 0
    private var recoveryEnd = -1
    private var smoothed = Duration.milliseconds(100)
    private var retransmitted: UInt64 = 0
    private var hasArrived: Set<Int> = []

    /// How much of the link a sender that always has more to send gets in so long a time.
    package static func measure(
        _ conditions: UDXLinkConditions, for duration: Duration, seed: UInt64
    ) -> UDXLinkReport {
        var sender = UDXLinkTCP()
        var data = UDXLinkPipe(conditions, seed: seed &* 2 &+ 1)
        var answers = UDXLinkPipe(conditions, seed: seed &* 2)
        var now = Instant(nanoseconds: 1_000_000_000)
        let end = now + duration
        while true {
            sender.send(now: now, into: &data)
            let next = min(min(data.nextDelivery, answers.nextDelivery), sender.timeout)
            guard next <= end else { break }
            now = max(now, next)
            while let packet = data.receive(now: now) {
                sender.hasArrived.insert(integer(packet, at: 8))
                answers.send(packet, size: 40, now: now)
            }
            while let answer = answers.receive(now: now) {
                sender.acknowledged(integer(answer, at: 0), now: now)
            }
            if now >= sender.timeout { sender.timeOut(now: now) }
        }
        return UDXLinkReport(
            bytes: sender.hasArrived.count * payload, duration: duration,
            bitsPerSecond: conditions.bitsPerSecond, retransmitted: sender.retransmitted,
            roundTrip: sender.smoothed)
    }

    private mutating func send(now: Instant, into pipe: inout UDXLinkPipe) {
        while Double(inFlight.count) < window {
            let number: Int
            if let first = lost.popLast() {
                number = first
                retransmitted += 1
            } else {
                number = nextNumber
                nextNumber += 1
            }
            inFlight[nextSending] = Sending(number: number, sentAt: now)
            pipe.send(Self.bytes(nextSending) + Self.bytes(number), size: Self.wireSize, now: now)
            nextSending += 1
        }
    }

    private mutating func acknowledged(_ sending: Int, now: Instant) {
        guard let packet = inFlight.removeValue(forKey: sending) else { return }
        smoothed = (smoothed * 7 + (now - packet.sentAt)) / 8
        grow(now: now)
        while oldestSending <= sending - 3 {
            if let missing = inFlight.removeValue(forKey: oldestSending) {
                lost.append(missing.number)
                if oldestSending > recoveryEnd { reduce() }
            }
            oldestSending += 1
        }
    }

    private mutating func grow(now: Instant) {
        guard window >= threshold else {
            window += 1
            return
        }
        let start = epoch ?? now
        epoch = start
        let seconds = Double((now - start + smoothed).nanosecondsClamped) / 1e9
        let plateau = Double.cbrt(windowMax * (1 - Self.beta) / Self.growth)
        let offset = seconds - plateau
        let target = Self.growth * offset * offset * offset + windowMax
        // What Reno would have by now (RFC 9438, 4.3), counted from the epoch.
        let rounds = seconds * 1e9 / Double(max(1, smoothed.nanosecondsClamped))
        let reno =
            windowMax * Self.beta + 3 * (1 - Self.beta) / (1 + Self.beta) * rounds
        let wanted = max(target, reno)
        window += wanted > window ? min((wanted - window) / window, 0.5) : 0.01 / window
    }

    private mutating func reduce() {
        recoveryEnd = nextSending - 1
        windowMax = window < windowMax ? window * (1 + Self.beta) / 2 : window
        window = max(2, window * Self.beta)
        threshold = window
        epoch = nil
    }

    private var timeout: Instant {
        guard !inFlight.isEmpty else { return .distantFuture }
        var first = oldestSending
        while inFlight[first] == nil { first += 1 }
        guard let packet = inFlight[first] else { return .distantFuture }
        return packet.sentAt + smoothed * 2 + .milliseconds(200)
    }

    private mutating func timeOut(now: Instant) {
        for sending in oldestSending..<nextSending {
            if let missing = inFlight.removeValue(forKey: sending) { lost.append(missing.number) }
        }
        oldestSending = nextSending
        reduce()
        window = 1
    }

    private static func bytes(_ value: Int) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    private static func integer(_ bytes: [UInt8], at offset: Int) -> Int {
        (0..<8).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}

extension Double {
    /// The cube root, by Newton's method: no C library, the same everywhere.
    fileprivate static func cbrt(_ value: Double) -> Double {
        guard value > 0 else { return 0 }
        var root = max(1, value / 3)
        for _ in 0..<60 { root -= (root * root * root - value) / (3 * root * root) }
        return root
    }
}
