internal import UDX

/// The table of `simulate link`: what one stream gets of a link, beside TCP with CUBIC on the same.
package enum LinkReport {
    package static func text(seed: UInt64, duration: Duration = .seconds(10)) -> String {
        var table = TextTable([
            "link of 100 Mbit/s", "loss", "UDX gets", "CUBIC gets", "UDX sent again", "round trip",
        ])
        for (delay, losses) in [(10, [0, 0.01]), (25, [0, 0.001, 0.01, 0.03]), (100, [0, 0.01])] {
            for loss in losses {
                var conditions = UDXLinkConditions()
                conditions.delay = .milliseconds(delay)
                conditions.loss = loss
                // One round trip's worth of what the link carries.
                conditions.queueBytes = Int(conditions.bitsPerSecond) / 8 * 2 * delay / 1000
                let udx = UDXLink.measure(conditions, for: duration, seed: seed)
                let tcp = UDXLinkTCP.measure(conditions, for: duration, seed: seed)
                table.append([
                    "\(2 * delay) ms there and back", Figure.decimal(100 * loss) + " %",
                    Figure.decimal(100 * udx.share) + " %", Figure.decimal(100 * tcp.share) + " %",
                    String(udx.retransmitted), Figure.milliseconds(udx.roundTrip),
                ])
            }
        }
        return table.text
    }
}
