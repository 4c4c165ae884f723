import DHT
import Host
import Wire

// What each check says, and what to do about it.
extension DoctorReport {
    // MARK: The network

    static func nat(of facts: NetworkFacts) -> NAT {
        guard let first = facts.samples.first?.mapped else { return .unknown }
        let isOwn = facts.samples.allSatisfy { sample in
            sample.mapped.port == facts.clientPort
                && (facts.localAddresses.contains(sample.mapped.address)
                    || sample.mapped.address.isLoopback)
        }
        if isOwn { return .none }
        var analysis = PunchAnalysis(isFirewalled: true)
        for sample in facts.samples {
            analysis.add(sample.mapped, from: sample.observer, isFirewalled: true)
        }
        switch analysis.kind {
        case .consistent, .open: return .consistent
        case .random: return .random
        case .unknown:
            // Too few nodes to be sure; two ports are proof enough of the worse.
            let isOne = facts.samples.allSatisfy { $0.mapped == first }
            if !isOne { return .random }
            return facts.samples.count > 1 ? .consistent : .unknown
        }
    }

    static func network(_ facts: NetworkFacts, _ nat: NAT) -> [Line] {
        let isOnline = !facts.samples.isEmpty
        var lines = facts.bootstrap.map { node in
            if let roundTrip = node.roundTrip {
                return Line(
                    name: "bootstrap", state: .ok,
                    finding: "\(node.address) answers in \(shown(roundTrip))")
            }
            return Line(
                name: "bootstrap", state: isOnline ? .warning : .problem,
                finding: node.problem ?? "\(node.address) does not answer",
                remedy: isOnline ? nil : "name nodes that run, with --bootstrap HOST:PORT")
        }
        guard isOnline else {
            lines.append(
                Line(
                    name: "UDP", state: .problem,
                    finding: facts.problem ?? "datagrams leave, and no answer comes back",
                    remedy: "if this machine is online, its network blocks UDP: allow it, or name "
                        + "devices with --peer HOST:PORT (TCP)"))
            return lines
        }
        let median = facts.roundTrips.sorted()[facts.roundTrips.count / 2]
        lines.append(
            Line(
                name: "UDP", state: .ok,
                finding: "datagrams go out and answers come in: \(facts.samples.count) nodes, "
                    + "median round trip \(shown(median))"))
        lines.append(natLine(facts, nat))
        lines.append(
            Line(
                name: "reachable", state: .ok,
                finding: facts.isReachable
                    ? "strangers can reach this machine: others connect at once"
                    : "strangers cannot reach this machine: connections are made by hole punching"))
        return lines
    }

    private static func natLine(_ facts: NetworkFacts, _ nat: NAT) -> Line {
        let first = facts.samples.first.map { "\($0.mapped)" } ?? ""
        let host = facts.samples.first.map { "\($0.mapped.address)" } ?? ""
        switch nat {
        case .none:
            return Line(
                name: "NAT", state: .ok, finding: "none: this machine is seen as it is, at \(host)")
        case .consistent:
            return Line(
                name: "NAT", state: .ok,
                finding: "consistent: all nodes see \(first), so holes can be punched")
        case .random:
            return Line(
                name: "NAT", state: .warning,
                finding: "random: every node sees another port of \(host)",
                remedy: "connecting to devices behind a router of the same kind needs a relay; to "
                    + "others it takes up to a minute")
        case .unknown:
            return Line(
                name: "NAT", state: .warning, finding: "one node sees \(first): too few to tell",
                remedy: "name more nodes with --bootstrap")
        }
    }

    // MARK: Mounting

    static func mounting(_ facts: MachineFacts) -> [Line] {
        var lines: [Line] = []
        switch facts.fuseProblem {
        case nil: lines.append(Line(name: "FUSE", state: .ok, finding: "/dev/fuse can be opened"))
        case 2:
            lines.append(
                Line(
                    name: "FUSE", state: .problem, finding: "/dev/fuse does not exist",
                    remedy: "as root: modprobe fuse; in a container: --device /dev/fuse"))
        case 13, 1:
            lines.append(
                Line(
                    name: "FUSE", state: .problem, finding: "/dev/fuse may not be opened",
                    remedy: "as root: chmod 666 /dev/fuse"))
        case .some(let code):
            lines.append(
                Line(
                    name: "FUSE", state: .problem,
                    finding: "/dev/fuse cannot be opened (errno \(code))",
                    remedy: "as root: modprobe fuse"))
        }
        lines.append(helper(facts))
        lines.append(
            Line(name: "libfuse", state: .ok, finding: "version \(facts.libraryVersion)"))
        lines.append(
            Line(
                name: "fuse.conf", state: .ok,
                finding: facts.userAllowOther
                    ? "user_allow_other is set: a mount could be shown to other users"
                    : "user_allow_other is not set: mounts are for their user alone, as Holdfast's "
                        + "are"))
        return lines
    }

    private static func helper(_ facts: MachineFacts) -> Line {
        let name = "fusermount3"
        guard let path = facts.helper else {
            return Line(
                name: name, state: facts.isRoot ? .warning : .problem,
                finding: facts.isRoot
                    ? "not installed; root can do without" : "not installed: only root could mount",
                remedy: "apt-get install fuse3")
        }
        guard facts.isRoot || facts.helperRunsAsRoot else {
            return Line(
                name: name, state: .problem, finding: "\(path) does not run as root",
                remedy: "as root: chmod u+s \(path)")
        }
        return Line(name: name, state: .ok, finding: path)
    }

    // MARK: The machine

    /// 2025-01-01: before that, this program was not there.
    private static let earliestSeconds: Int64 = 1_735_689_600

    static func machine(_ facts: MachineFacts) -> [Line] { [clock(facts), kernel(facts)] }

    private static func clock(_ facts: MachineFacts) -> Line {
        let remedy = "timedatectl set-ntp true, or run chrony: times in the share come from it"
        if facts.wallSeconds < earliestSeconds {
            return Line(
                name: "clock", state: .problem, finding: "it is years behind", remedy: remedy)
        }
        switch facts.isClockSynchronized {
        case true?: return Line(name: "clock", state: .ok, finding: "kept right by a time service")
        case false?:
            return Line(
                name: "clock", state: .warning,
                finding: "no time service is known to keep it right", remedy: remedy)
        case nil: return Line(name: "clock", state: .ok, finding: "the kernel does not tell")
        }
    }

    private static func kernel(_ facts: MachineFacts) -> Line {
        let parts = facts.kernelRelease.split { $0 == "." || $0 == "-" }.prefix(2)
            .compactMap { Int($0) }
        let batching =
            facts.joinsDatagrams
            ? "UDP in batches, joined by the kernel" : "UDP in batches, one datagram each"
        guard parts.count == 2, (parts[0], parts[1]) >= (5, 4) else {
            return Line(
                name: "kernel", state: .warning, finding: "\(facts.kernelRelease): \(batching)",
                remedy: "Holdfast is made for Linux 5.4 and later")
        }
        return Line(name: "kernel", state: .ok, finding: "\(facts.kernelRelease): \(batching)")
    }
}
