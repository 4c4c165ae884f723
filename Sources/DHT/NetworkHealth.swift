/// Whether the network answers, judged over four ticks (`dht.md` 6.2).
struct NetworkHealth: Sendable {
    private static let windowSize = 4
    /// Fewer answers and time-outs than this in a tick say nothing.
    private static let eventsMin = 4

    private var ticks: [(responses: Int, timeouts: Int)] = []
    private var responses = 0
    private var timeouts = 0
    private var degradedTicks = 0
    private var healthyTicks = 0

    private(set) var isOnline = true
    private(set) var isDegraded = false

    mutating func responded() { responses += 1 }
    mutating func timedOut() { timeouts += 1 }

    mutating func tick() {
        if ticks.count == Self.windowSize { ticks.removeFirst() }
        ticks.append((responses, timeouts))
        (responses, timeouts) = (0, 0)
        guard ticks.count == Self.windowSize, let last = ticks.last,
            last.responses + last.timeouts >= Self.eventsMin
        else { return }
        isOnline = last.responses > 0
        if 2 * last.timeouts > last.responses + last.timeouts {
            degradedTicks += 1
            healthyTicks = 0
        } else {
            degradedTicks = 0
            healthyTicks += 1
        }
        if !isOnline || healthyTicks >= Self.windowSize {
            isDegraded = false
        } else if degradedTicks >= Self.windowSize {
            isDegraded = true
        }
    }
}
