import Base
import Chunks
import Protomux

/// The chunk channel: asking for what the view needs, serving what others ask for.
extension ShareVolume {
    func receivedChunkMessage(
        _ type: Int, _ payload: [UInt8], on session: inout PeerSession,
        _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        guard session.chunks != nil else { return }
        var effects: [ChunkExchange.Effect] = []
        session.chunks?.exchange.receive(type: type, payload: payload.span, into: &effects)
        try perform(effects, on: &session, &table, now: now)
        try serveChunks(on: &session, &table)
    }

    func serveChunks(on session: inout PeerSession, _ table: inout PeerTable)
        throws(SessionError)
    {
        guard session.chunks?.isOpen == true else { return }
        var effects: [ChunkExchange.Effect] = []
        session.chunks?.exchange.serve(queuedBytes: session.queuedBytes, into: &effects)
        try perform(effects, on: &session, &table, now: environment.now())
    }

    func perform(
        _ effects: [ChunkExchange.Effect], on session: inout PeerSession,
        _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        guard let channel = session.chunks?.channel else { return }
        for effect in effects {
            switch effect {
            case .send(let type, let payload):
                session.mux.send(channel, type: type, payload: payload)
            case .received(let address, let ciphertext):
                try store(address, ciphertext, from: session.id, &table, now: now)
            case .missing(let address):
                table.fetcher.lacked(address, by: session.id, now: now)
                if table.retryDeadline == nil, table.fetcher.isOwed(address) {
                    table.retryDeadline = now + PeerTable.Limits.retryAfter
                }
            case .has(let addresses):
                for address in addresses { table.fetcher.has(address, session.id) }
            case .unreadable(let address, let error):
                table.effects.append(.log("chunk \(address) cannot be served: \(error)"))
            case .violation(let what):
                throw SessionError("chunk exchange: \(what)")
            }
        }
    }

    func store(
        _ address: Bytes32, _ ciphertext: [UInt8], from source: ConnectionID,
        _ table: inout PeerTable, now: Instant
    ) throws(SessionError) {
        guard let wanted = table.fetcher.settle(address, from: source, now: now) else { return }
        var plaintext = ciphertext
        do {
            try ChunkCipher(keys.contentKeys).open(
                &plaintext, as: wanted.reference, addressChecked: true)
        } catch {
            throw SessionError("chunk \(address) does not open: \(error)")
        }
        do {
            try chunks.append(wanted.reference, plaintext: plaintext.span)
            // Before the list counts as arrived: once it does, nothing else asks what it lists.
            if wanted.isList {
                try engine.withLock { (engine) throws(StorageError) in
                    try engine.wantChildren(ofStored: wanted.reference, isOwed: wanted.isOwed)
                }
            }
        } catch {
            table.fetcher.want(
                wanted.reference, isList: wanted.isList, isOwed: wanted.isOwed)
            return table.couldNotStore(address, error, now: now)
        }
        if table.storeFailure?.isTrying ?? false { table.storeFailure = nil }
        table.note(wanted, now: now)
        table.stored.append(address)
        if wanted.isList { takeWanted(&table) }
    }

    /// Syncs received chunks and only then forgets that they were wanted.
    func settleArrived(_ table: inout PeerTable, now: Instant) {
        let isDue = table.settleDeadline.map { $0 <= now } ?? !table.arrived.isEmpty
        guard isDue || table.arrivedBytes >= PeerTable.Limits.settleBytes else { return }
        let arrived = table.arrived
        table.arrived = []
        table.arrivedBytes = 0
        table.settleDeadline = nil
        do {
            try chunks.sync()
            try engine.withLock { (engine) throws(StorageError) in
                try engine.settle(arrived.map(\.reference.address))
            }
        } catch {
            table.arrived = arrived
            table.settleDeadline = now + .seconds(1)
            table.effects.append(.log("storage: \(error)"))
        }
        // Peers learn that this device holds everything.
        if table.fetcher.owed.count == 0 { table.logsGrew = true }
    }

    /// Asks for what is wanted, as far as each session's window goes.
    func fetch(_ table: inout PeerTable, now: Instant, next: inout Instant) {
        if let deadline = table.retryDeadline, deadline <= now {
            table.retryDeadline = nil
            refreshWanted(&table)
        }
        let stored = table.stored
        engine.withLock { engine in
            for address in stored { engine.merges.arrived(address) }
            if !stored.isEmpty {
                engine.noteStartProgress()
                engine.noteResumptionProgress()
            }
        }
        takeWanted(&table)
        table.stored.removeAll(keepingCapacity: true)
        if table.fetcher.count == 0 { table.storeFailure = nil }
        guard table.fetcher.count > 0 || !stored.isEmpty else { return }
        let askable = table.takeAskable(now: now)
        for id in table.ids {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                guard session.chunks?.isOpen == true else { return }
                var effects: [ChunkExchange.Effect] = []
                for address in stored { session.chunks?.exchange.stored(address, into: &effects) }
                guard askable > 0 else {
                    return try self.perform(effects, on: &session, &table, now: now)
                }
                let asked = table.fetcher.next(for: session.id, countMax: askable, now: now)
                let urgent = asked.filter(table.fetcher.isUrgent)
                let raised = table.fetcher.takeRaised(for: session.id)
                session.chunks?.exchange.want(
                    urgent + raised, priority: .reader, into: &effects)
                session.chunks?.exchange.want(asked, into: &effects)
                try self.perform(effects, on: &session, &table, now: now)
            }
        }
        for (id, address) in table.fetcher.takeSurplus() {
            with(id, &table, now: now) { (session, table) throws(SessionError) in
                var effects: [ChunkExchange.Effect] = []
                session.chunks?.exchange.cancel([address], into: &effects)
                try self.perform(effects, on: &session, &table, now: now)
            }
        }
        if table.fetcher.mayShare { next = min(next, now + PeerTable.Limits.shareAfter) }
    }

    /// Takes up what the engine has come to want.
    func takeWanted(_ table: inout PeerTable) {
        let wanted = engine.withLock { $0.takeNewlyWanted() }
        take(wanted, &table, now: environment.now())
    }

    /// What is here already is only to be made durable.
    func take(_ wanted: [WantedChunk], _ table: inout PeerTable, now: Instant) {
        for chunk in wanted {
            if chunks.contains(chunk.reference.address) {
                table.noteStored(chunk.reference, isList: chunk.isList, now: now)
            } else {
                table.fetcher.want(chunk)
            }
        }
    }

    /// Nobody had some chunks: perhaps only superseded versions needed them.
    func refreshWanted(_ table: inout PeerTable) {
        do {
            let wanted = try engine.withLock { (engine) throws(StorageError) in
                try engine.rebuildWanted()
                return engine.takeNewlyWanted()
            }
            let now = environment.now()
            let missing = wanted.filter { !chunks.contains($0.reference.address) }
            table.fetcher.keepOnly(missing, now: now)
            take(wanted, &table, now: now)
            table.fetcher.retryAll()
        } catch {
            table.effects.append(.log("storage: \(error)"))
        }
    }
}
