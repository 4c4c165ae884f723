/// `simulate`'s command line: what it understands, and what it prints.
package enum Command {
    package static let usage = """
        usage: simulate COMMAND [OPTIONS]

        Networks of many nodes in one process, on a virtual clock, from a seed.

        commands:
          dht       build a DHT, announce, look up; print success, steps, requests, times, memory
          growth    the same for 100 to 10,000 nodes, and how the cost grows
          attacks   hostile nodes, forged and replayed announcements, amplification, a flood
          connect   peers behind every pair of NATs dial each other in a network of nodes
          link      one UDX stream over links with delay and loss, beside TCP with CUBIC
          devices   whole devices of a share under faults: see simulate devices --help;
                    also without the word: simulate --seed S --devices N --hours H
          moves     every small history of directory moves, in every order of arrival
          tree      what moves and the operations of a returning device cost, in processor time

        options:
          --nodes N[,N…]    how many nodes (dht: 1000; growth: 100,316,1000,3162,10000;
                            attacks: 500; connect: 1000)
          --seed S          the run to repeat (1)
          --persistent P    percent of the nodes that serve the network (50)
          --churn MINUTES   mean length of a session; nodes that go are replaced (no churn)
          --loss P          percent of datagrams lost (1)
          --lookups N       lookups (500)
          --minutes M       over which they are spread, virtual (5)
          --flood N         announcements of the flood (1000000)

        """

    package enum Parsed: Sendable {
        case help
        case dht(DHTOptions, sizes: [Int])
        case growth(DHTOptions, sizes: [Int])
        case attacks(DHTOptions, flood: Int)
        case connect(DHTOptions)
        case link(seed: UInt64)
        case devices(DeviceCommand.Parsed)
        case moves
        case tree
        case wrong(String)
    }

    package static func parse(_ arguments: [String]) -> Parsed {
        guard let command = arguments.first else { return .wrong("no command") }
        let asksForHelp = arguments.contains("--help") || arguments.contains("-h")
        if !asksForHelp, command == "devices" || command.hasPrefix("-") {
            return .devices(
                DeviceCommand.parse(command == "devices" ? arguments.dropFirst() : arguments[...]))
        }
        if asksForHelp { return .help }
        var options = DHTOptions()
        var sizes: [Int]?
        var flood = 1_000_000
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { return .wrong("\(name) needs a value") }
            switch name {
            case "--nodes":
                let parts = value.split(separator: ",")
                let numbers = parts.compactMap { Int($0) }
                guard numbers.count == parts.count, numbers.allSatisfy({ (10...100_000) ~= $0 })
                else { return .wrong("--nodes takes numbers from 10 to 100000, not \(value)") }
                sizes = numbers
            case "--seed":
                guard let seed = UInt64(value) else { return .wrong("--seed takes a number") }
                options.seed = seed
            case "--persistent":
                guard let share = Double(value), (1...100) ~= share else {
                    return .wrong("--persistent takes 1 to 100 percent")
                }
                options.persistentShare = share / 100
            case "--churn":
                guard let minutes = Double(value), (0.1...1e6) ~= minutes else {
                    return .wrong("--churn takes minutes, 0.1 or more")
                }
                options.sessionMean = .seconds(minutes * 60)
            case "--loss":
                guard let share = Double(value), (0...90) ~= share else {
                    return .wrong("--loss takes 0 to 90 percent")
                }
                options.loss = share / 100
            case "--lookups":
                guard let count = Int(value), (1...1_000_000) ~= count else {
                    return .wrong("--lookups takes a number from 1")
                }
                options.lookups = count
            case "--minutes":
                guard let minutes = Int(value), (1...10_000) ~= minutes else {
                    return .wrong("--minutes takes a number from 1")
                }
                options.duration = .seconds(60 * minutes)
            case "--flood":
                guard let count = Int(value), (1...100_000_000) ~= count else {
                    return .wrong("--flood takes a number from 1")
                }
                flood = count
            default: return .wrong("unknown option \(name)")
            }
        }
        switch command {
        case "dht": return .dht(options, sizes: sizes ?? [options.nodes])
        case "growth": return .growth(options, sizes: sizes ?? [100, 316, 1000, 3162, 10_000])
        case "attacks":
            options.nodes = sizes?.first ?? 500
            return .attacks(options, flood: flood)
        case "connect":
            options.nodes = sizes?.first ?? options.nodes
            return .connect(options)
        case "link": return .link(seed: options.seed)
        case "moves": return .moves
        case "tree": return .tree
        case "help": return .help
        default: return .wrong("unknown command \(command)")
        }
    }

    /// Does what the arguments say.
    ///
    /// - Parameters:
    ///   - write: takes text for people to read, as it comes.
    ///   - complain: takes what was wrong with the arguments.
    /// - Returns: the exit status.
    package static func run(
        _ arguments: [String], write: (String) -> Void, complain: (String) -> Void
    ) -> Int32 {
        switch parse(arguments) {
        case .help: write(arguments.first == "devices" ? DeviceCommand.usage : usage)
        case .devices(.wrong(let reason)):
            complain("simulate: \(reason)\n\n\(DeviceCommand.usage)")
            return 64
        case .devices(.run(let options, let shrinks, let isVerbose)):
            return DeviceCommand.run(
                options, shrinks: shrinks, isVerbose: isVerbose, write: write)
        case .wrong(let reason):
            complain("simulate: \(reason)\n\n\(usage)")
            return 64
        case .dht(let options, let sizes):
            let results = GrowthScenario.run(options, sizes: sizes)
            write("seed \(options.seed)\n" + DHTReport.text(results))
        case .growth(let options, let sizes):
            let results = GrowthScenario.run(options, sizes: sizes) {
                write("\($0.nodes) nodes done\n")
            }
            write("\nseed \(options.seed)\n" + DHTReport.text(results))
            write("\n" + DHTReport.growth(results))
        case .attacks(let options, let flood):
            AttackReport.write(options, flood: flood, write)
        case .connect(let options):
            write("seed \(options.seed), \(options.nodes) nodes\n")
            write(ConnectReport.text(ConnectScenario.run(options)))
        case .moves: return MoveReport.write(write)
        case .tree: return TreeFigures.write(write)
        case .link(let seed):
            write("seed \(seed)\n" + LinkReport.text(seed: seed))
        }
        return 0
    }
}
