/// Which packets count as lost: RACK-TLP (RFC 8985).
extension UDXStream {
    /// Marks what was overtaken for long enough.
    ///
    /// - Returns: bytes on the wire that were found lost; probes for the path MTU do not count.
    mutating func detectLosses() -> Int {
        lossDeadline = nil
        let patience = rack.roundTrip + reorderingWindow
        var lost = 0
        while let sequence = sent.firstInFlight {
            let packet = sent[sequence]
            guard rack.isAfter(packet, sequence) else { break }
            guard now >= packet.sentAt + patience else {
                lossDeadline = packet.sentAt + patience
                break
            }
            lost += markLost(sequence)
        }
        return lost
    }

    /// After losses: less is sent until everything sent so far has arrived.
    mutating func enterRecovery(newlyDelivered: Int) {
        guard case .none = recovery else { return }
        recovery = .recovering
        recoveryEnd = sent.next
        congestion.enterRecovery(
            inFlight: sent.inFlightBytes, newlyDelivered: newlyDelivered,
            delivered: rate.delivered)
    }

    mutating func leaveRecoveryIfDone() {
        guard !sent.oldest.precedes(recoveryEnd) else { return }
        switch recovery {
        case .none: return
        case .recovering, .timedOut:
            recovery = .none
            congestion.leaveRecovery()
        }
    }

    /// Nothing was heard for a whole time-out.
    ///
    /// - Returns: false if that has happened too often to the same packet.
    mutating func timeOut() -> Bool {
        guard let first = sent.firstInFlight else { return true }
        guard sent[first].timeouts < configuration.limits.timeouts else { return false }
        statistics.timeouts += 1
        sent[first].timeouts += 1
        // A packet that never passes may be too large for a path that has changed.
        if sent[first].timeouts >= 2, Int(sent[first].size) + overhead > configuration.pathMTU.base
        {
            pathMTU.fallBack(now: now)
            adoptPathMTU()
        }
        _ = markLost(first)
        let patience = rack.roundTrip + reorderingWindow
        while let sequence = sent.firstInFlight, now >= sent[sequence].sentAt + patience {
            _ = markLost(sequence)
        }
        recovery = .timedOut
        recoveryEnd = sent.next
        timeoutBackoff = now + 2 * roundTrip.timeout
        tailProbes = 0
        congestion.timedOut(inFlight: sent.inFlightBytes)
        return true
    }

    /// When the packet in flight that was sent first counts as unheard.
    var timeoutDeadline: UInt64? {
        sent.firstInFlight.map {
            // After one time-out, probes for the tail do not put off the next.
            timeoutBackoff > 0 ? timeoutBackoff : sent[$0].sentAt + roundTrip.timeout
        }
    }

    /// When the last packets are probed for, because no answer came for two round trips, then four, then
    /// eight.
    ///
    /// RFC 8985 probes once, and only while nothing is known to be lost. Here a lost retransmission is
    /// probed for as well, and so is one that followed a time-out: a short window or a short stream
    /// on a bad path would else wait for one time-out after the other.
    var tailProbeDeadline: UInt64? {
        guard tailProbes < Self.tailProbesMax, !isTailProbeDue, sent.lostCount == 0,
            let last = sent.lastInFlight, let smoothed = roundTrip.smoothed ?? firstGuess
        else { return nil }
        // Whoever has one packet only may wait for a second before it answers.
        let delay = 2 * smoothed + (sent.inFlightCount == 1 ? 2 * Nanoseconds.millisecond : 0)
        return sent[last].sentAt + delay << UInt64(tailProbes)
    }

    /// Of the round trip, when the first packet has timed out before any answer came.
    private var firstGuess: UInt64? {
        if case .timedOut = recovery { 125 * Nanoseconds.millisecond } else { nil }
    }

    private static var tailProbesMax: Int { 3 }

    mutating func adoptPathMTU() {
        payloadMax = pathMTU.size - overhead
        congestion.setPacketSize(pathMTU.size)
    }

    private mutating func markLost(_ sequence: UInt32) -> Int {
        statistics.packetsLost += 1
        sent.markLost(sequence)
        return sent[sequence].isProbe ? 0 : Int(sent[sequence].wireSize)
    }

    private var reorderingWindow: UInt64 {
        let isOpen = if case .none = recovery { true } else { false }
        return rack.reorderingWindow(
            smallestRoundTrip: roundTrip.smallest, smoothed: roundTrip.smoothed ?? 0,
            isLossCertain: !isOpen || sent.deliveredCount >= 3)
    }
}
