internal import Base
internal import Wire

/// Who comes into the table, and who goes (`dht.md` 5).
extension DHTNode {
    /// A node answered us.
    ///
    /// - Parameters:
    ///   - id: nil unless it is the id of `node`.
    ///   - address: ours, as the node sees it.
    mutating func noteNode(
        _ id: Bytes32?, _ node: PackedEndpoint, seesUsAt address: NetworkEndpoint,
        on socket: SocketID, now: Instant, into effects: inout DHTEffects
    ) {
        // What comes to another socket says nothing about the one that requests leave by.
        let view = socket == requestSocket ? PackedEndpoint(address) : nil
        guard let id else {
            if let view { sampleStranger(node, view, into: &effects) }
            return
        }
        guard !NodeFilter.ignores(node), id != table.id else { return }
        if let known = table[id] {
            table.heard(id, tick: tick)
            let isStale = known.sampled.map { tick &- $0 >= Ticks.old } ?? true
            if isStale, let view { sample(id, view, into: &effects) }
            return
        }
        switch table.insert(node, id: id, tick: tick) {
        case .added:
            if let view { sample(id, view, into: &effects) }
        case .rowFull:
            offerSwap(for: node, id, now: now, into: &effects)
        case .refused:
            break
        }
    }

    /// A node asked us something under its id. That does not show that it receives at its address,
    /// so a newcomer is pinged, and comes into the table when it answers.
    mutating func noteRequester(
        _ id: Bytes32, _ node: PackedEndpoint, now: Instant, into effects: inout DHTEffects
    ) {
        guard table[id] == nil else {
            table.heard(id, tick: tick)
            return
        }
        guard !NodeFilter.ignores(node), id != table.id,
            newcomers.count < DHTLimits.newcomerPingsMax, !newcomers.contains(node),
            table.mayTake(node, id: id, tick: tick)
        else { return }
        newcomers.append(node)
        send(
            DHTRequest(.ping), to: node, purpose: .newcomer, retries: 1, now: now, into: &effects)
    }

    /// Asks the node that was silent for longest whether it is alive; if not, `node` takes its place.
    private mutating func offerSwap(
        for node: PackedEndpoint, _ id: Bytes32, now: Instant, into effects: inout DHTEffects
    ) {
        guard bootstrap == .done, swapsRunning < DHTLimits.swapsMax, table.hasRoom(for: node),
            let oldest = table.replaceable(for: id, tick: tick)
        else { return }
        swapsRunning += 1
        table.update(oldest.id) { $0.pinged = tick }
        send(
            DHTRequest(.ping), to: oldest.endpoint, purpose: .swap(newcomer: node), now: now,
            into: &effects)
    }

    /// Asks a node of the table whether it is alive; it leaves the table if it does not answer.
    mutating func ping(_ node: RoutingTable.Node, now: Instant, into effects: inout DHTEffects) {
        table.update(node.id) { $0.pinged = tick }
        send(DHTRequest(.ping), to: node.endpoint, purpose: .check, now: now, into: &effects)
    }

    /// DOWN_HINT: somebody did not reach a node of ours.
    mutating func checkDown(_ node: PackedEndpoint, now: Instant, into effects: inout DHTEffects) {
        guard downChecksRunning < DHTLimits.downChecksMax, let known = table[node.id],
            known.pinged < tick || known.downHints == 0
        else { return }
        downChecksRunning += 1
        table.update(known.id) {
            $0.downHints &+= 1
            $0.pinged = tick
        }
        send(DHTRequest(.ping), to: node, purpose: .downCheck, now: now, into: &effects)
    }
}
