internal import Base
package import Wire

/// Our own address: what others see, whether strangers reach us, and what follows (`dht.md` 7).
extension DHTNode {
    // MARK: What is known

    /// Our address as most nodes see it.
    package var publicHost: NetworkAddress? {
        configuration.publicAddress?.address ?? sampler.host.map { .v4($0) }
    }

    /// The port of `requestSocket` as most nodes see it; nil if they see different ones.
    package var publicPort: UInt16? {
        configuration.publicAddress?.port ?? (sampler.port == 0 ? nil : sampler.port)
    }

    /// The address at which others may reach the server socket, if they may.
    package var remoteAddress: NetworkEndpoint? {
        guard !isFirewalled else { return nil }
        if let address = configuration.publicAddress { return address }
        guard let host = sampler.host, sampler.port == serverPort else { return nil }
        return NetworkEndpoint(address: .v4(host), port: sampler.port)
    }

    // MARK: Samples

    /// Counts what a node of the table sees.
    mutating func sample(
        _ id: Bytes32, _ address: PackedEndpoint, into effects: inout DHTEffects
    ) {
        table.update(id) { $0.sampled = tick }
        reportingAddress(&effects) { $0.sampler.add(address) }
    }

    /// Counts what a node without id sees: so few that strangers cannot talk us into an address.
    mutating func sampleStranger(
        _ node: PackedEndpoint, _ address: PackedEndpoint, into effects: inout DHTEffects
    ) {
        guard strangersSampled.count < max(1, configuration.bootstrap.count),
            !strangersSampled.contains(node)
        else { return }
        strangersSampled.append(node)
        reportingAddress(&effects) { $0.sampler.add(address) }
    }

    /// What others saw belongs to a network that may be gone. A node that was told its address keeps
    /// to it.
    mutating func forgetAddress(into effects: inout DHTEffects) {
        reportingAddress(&effects) {
            $0.sampler = NATSampler()
            $0.strangersSampled = []
            $0.table.forgetSamples()
            if $0.configuration.publicAddress == nil {
                $0.isFirewalled = $0.configuration.isFirewalled
            }
        }
        guard configuration.publicAddress == nil, !isEphemeral else { return }
        isEphemeral = true
        effects.events.append(.becameEphemeral)
    }

    private mutating func reportingAddress(
        _ effects: inout DHTEffects, _ change: (inout DHTNode) -> Void
    ) {
        let before = (publicHost, publicPort, isFirewalled, remoteAddress)
        change(&self)
        if before != (publicHost, publicPort, isFirewalled, remoteAddress) {
            effects.events.append(.addressChanged)
        }
    }

    // MARK: Network state check

    /// Finds out whether strangers reach the server socket and, unless `onlyFirewall`, turns
    /// persistent if they do.
    ///
    /// - Returns: false if there is nothing to find out; `checkEnded` is called later otherwise.
    mutating func beginCheck(
        onlyFirewall: Bool, isBootstrap: Bool, now: Instant, into effects: inout DHTEffects
    ) -> Bool {
        guard isEphemeral, check == nil, isFirewalled || !onlyFirewall else { return false }
        if !onlyFirewall {
            ticksToCheck = Ticks.moreStable
            lastHostChecked = sampler.host
        }
        guard let host = sampler.host, sampler.port != 0 else { return false }
        var nodes: [PackedEndpoint] = []
        if isFirewalled {
            nodes = table.mostRecent(NetworkCheck.nodesAsked).map(\.endpoint)
            if nodes.count < NetworkCheck.nodesAsked {
                for node in configuration.bootstrap.compactMap(PackedEndpoint.init)
                where !nodes.contains(node) { nodes.append(node) }
            }
            guard !nodes.isEmpty else { return false }
        }
        check = NetworkCheck(
            onlyFirewall: onlyFirewall, isBootstrap: isBootstrap, host: host, port: sampler.port,
            asked: nodes.count, unsettled: nodes.count)
        for node in nodes {
            sendProbe(to: node, purpose: .firewallProbe, now: now, into: &effects)
        }
        if nodes.isEmpty { endCheck(now: now, into: &effects) }
        return true
    }

    /// Asks a node to answer to the server socket.
    mutating func sendProbe(
        to node: PackedEndpoint, purpose: PendingRequest.Purpose, now: Instant,
        into effects: inout DHTEffects
    ) {
        var writer = WireWriter(reserving: 2)
        writer.writeUInt16(serverPort)
        send(
            DHTRequest(.pingNAT, value: writer.bytes), to: node, via: .client, purpose: purpose,
            now: now, into: &effects)
    }

    mutating func probeSettled(
        reply: DHTReply?, now: Instant, into effects: inout DHTEffects
    ) {
        guard check != nil else { return }
        if let reply, reply.socket == .server, let address = PackedEndpoint(reply.to) {
            check?.sampler.add(address)
        }
        check?.unsettled -= 1
        if check?.unsettled == 0 { endCheck(now: now, into: &effects) }
    }

    private mutating func endCheck(now: Instant, into effects: inout DHTEffects) {
        guard let ended = check else { return }
        check = nil
        let isPassed = settle(ended, now: now, into: &effects)
        if ended.isBootstrap { bootstrapCheckEnded(isPassed, now: now, into: &effects) }
    }

    private mutating func settle(
        _ check: NetworkCheck, now: Instant, into effects: inout DHTEffects
    ) -> Bool {
        let seen = isFirewalled ? check.sampler : sampler
        if isFirewalled {
            guard check.isPassed(serverPort: serverPort) else { return false }
            reportingAddress(&effects) { $0.isFirewalled = false }
        }
        guard isEphemeral, sampler.host == check.host, sampler.port == check.port,
            seen.host == check.host, seen.port != 0
        else { return false }
        reportingAddress(&effects) { $0.sampler = seen }
        let id = PackedEndpoint(host: check.host, port: seen.port).id
        if check.onlyFirewall {
            move(to: id, now: now, into: &effects)
        } else {
            becomePersistent(id: id, now: now, into: &effects)
        }
        return true
    }

    mutating func becomePersistent(
        id: Bytes32, now: Instant, into effects: inout DHTEffects
    ) {
        isEphemeral = false
        move(to: id, now: now, into: &effects)
        effects.events.append(.becamePersistent)
    }

    /// Takes the place that our address gives us.
    private mutating func move(to id: Bytes32, now: Instant, into effects: inout DHTEffects) {
        guard id != table.id else { return }
        table = table.moved(to: id)
        if bootstrap == .done { refresh(now: now, into: &effects) }
    }
}
