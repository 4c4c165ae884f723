internal import Base
internal import Wire

/// Bootstrap, ticks and refresh (`dht.md` 6).
extension DHTNode {
    // MARK: Bootstrap

    mutating func beginBootstrap(now: Instant, into effects: inout DHTEffects) {
        quickProbeAnswered = false
        walkToSelf(isSecond: false, now: now, into: &effects)
    }

    private mutating func walkToSelf(
        isSecond: Bool, now: Instant, into effects: inout DHTEffects
    ) {
        let plan = DHTQuery(
            .findNode, target: table.id, startNodes: isSecond ? [] : configuration.knownNodes)
        let id = nextQueryID()
        bootstrap = .walking(id, isSecond: isSecond)
        begin(plan, id, isBackground: true, now: now, into: &effects)
    }

    /// A node answered during the walk to our own id: the first one is asked to answer to the server
    /// socket. If that comes through before the walk is over, a whole check is worth its while.
    mutating func bootstrapReplied(
        _ query: QueryID, _ node: PackedEndpoint, isFirst: Bool, now: Instant,
        into effects: inout DHTEffects
    ) {
        guard isFirst, bootstrap == .walking(query, isSecond: false), isFirewalled, isEphemeral,
            configuration.mode != .persistent
        else { return }
        sendProbe(to: node, purpose: .quickProbe, now: now, into: &effects)
    }

    /// A stranger's answer came to the server socket. In a small or near network the walk is over
    /// before that; it is worth a check all the same.
    mutating func quickProbePassed(now: Instant, into effects: inout DHTEffects) {
        quickProbeAnswered = true
        guard bootstrap == .done, isFirewalled else { return }
        _ = beginCheck(onlyFirewall: true, isBootstrap: false, now: now, into: &effects)
    }

    mutating func backgroundQueryEnded(
        _ query: QueryID, now: Instant, into effects: inout DHTEffects
    ) {
        guard case .walking(query, let isSecond) = bootstrap else { return }
        let isForced = configuration.mode == .persistent
        guard !isSecond, isForced || quickProbeAnswered else {
            becomeReady(into: &effects)
            return
        }
        bootstrap = .checking
        let hasBegun = beginCheck(
            onlyFirewall: !isForced, isBootstrap: true, now: now, into: &effects)
        if !hasBegun { becomeReady(into: &effects) }
    }

    mutating func bootstrapCheckEnded(
        _ isPassed: Bool, now: Instant, into effects: inout DHTEffects
    ) {
        guard bootstrap == .checking else { return }
        if isPassed {
            walkToSelf(isSecond: true, now: now, into: &effects)
        } else {
            becomeReady(into: &effects)
        }
    }

    private mutating func becomeReady(into effects: inout DHTEffects) {
        bootstrap = .done
        effects.events.append(.ready)
    }

    // MARK: Ticks

    mutating func runTick(now: Instant, into effects: inout DHTEffects) {
        if now - lastTickAt > Ticks.sleep {
            wakeUp(into: &effects)
        } else {
            tick &+= 1
        }
        lastTickAt = now
        nextTickAt = now + Ticks.length
        guard bootstrap == .done else { return }
        checkIfDue(now: now, into: &effects)
        if tick % 8 == 0 { pingLeastRecent(now: now, into: &effects) }
        ticksToRefresh -= min(1, ticksToRefresh)
        if ticksToRefresh == 0 || tick % 64 == 0 && table.count < DHTLimits.bucketSize {
            refresh(now: now, into: &effects)
        }
        downHintsLeft = configuration.limits.downHintsPerTick
        reportHealth(into: &effects)
    }

    /// The machine slept, or somebody stopped the clock: what we knew about the network may be past.
    mutating func wakeUp(into effects: inout DHTEffects) {
        tick &+= Ticks.moreStable
        // Nodes are pinged when the tick divides by eight: two ticks from now.
        tick &+= 8 - tick % 8
        tick &-= 2
        ticksToCheck = Ticks.moreStable
        ticksToRefresh = 1
        lastHostChecked = nil
        health = NetworkHealth()
        if configuration.mode == .adaptive, !isEphemeral {
            isEphemeral = true
            effects.events.append(.becameEphemeral)
        }
    }

    /// An adaptive node turns persistent after a stable while; one that is told to be persistent
    /// tries again each time the table is refreshed.
    private mutating func checkIfDue(now: Instant, into effects: inout DHTEffects) {
        guard isEphemeral, configuration.mode != .ephemeral else { return }
        ticksToCheck -= min(1, ticksToCheck)
        let isForced = configuration.mode == .persistent
        if isForced { ticksToCheck = min(ticksToCheck, Ticks.refresh) }
        guard ticksToCheck == 0 else { return }
        if !isForced, let host = sampler.host, host == lastHostChecked {
            ticksToCheck = Ticks.moreStable
            return
        }
        _ = beginCheck(onlyFirewall: false, isBootstrap: false, now: now, into: &effects)
    }

    private mutating func pingLeastRecent(now: Instant, into effects: inout DHTEffects) {
        var nodes = table.leastRecent(5)
        guard let oldest = nodes.first else {
            refresh(now: now, into: &effects)
            return
        }
        var wanted = 5
        if requests.count > 2 { wanted = 3 }
        if tick &- oldest.pinged < Ticks.recent { wanted = 2 }
        nodes = Array(nodes.prefix(wanted))
        for node in nodes { ping(node, now: now, into: &effects) }
    }

    /// Walks to somewhere in the table, which finds new nodes and drops dead ones.
    mutating func refresh(now: Instant, into effects: inout DHTEffects) {
        ticksToRefresh = Ticks.refresh
        let target = table.random(using: &random)?.id ?? table.id
        begin(
            DHTQuery(.findNode, target: target), nextQueryID(), isBackground: true, now: now,
            into: &effects)
    }

    private mutating func reportHealth(into effects: inout DHTEffects) {
        let before = health
        health.tick()
        if before.isOnline != health.isOnline { effects.events.append(.online(health.isOnline)) }
        if before.isDegraded != health.isDegraded {
            effects.events.append(.degraded(health.isDegraded))
        }
    }
}
