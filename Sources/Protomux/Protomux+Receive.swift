internal import Wire

extension Protomux {
    /// Takes in one message of the connection and appends what it means to `events`, after what `open`
    /// left. An empty message is ignored.
    ///
    /// Ignored as well, since the sides may cross: messages of channels that are closed or unknown,
    /// unknown control messages, a Close of what is closed.
    /// - Throws: how the other side broke the protocol, now and for ever after. Drop the connection.
    package mutating func receive(
        _ message: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        if let failure { throw failure }
        takeEvents(into: &events)
        guard !message.isEmpty else { return }
        do {
            try takeMessage(message, events: &events)
        } catch {
            failure = error
            throw error
        }
    }

    private mutating func takeMessage(
        _ message: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        var reader = WireReader(message)
        let (number, type): (UInt64, UInt64)
        do {
            number = try reader.readUInt()
            type = try reader.readUInt()
        } catch {
            throw .malformed(error)
        }
        if number == 0 && type == ControlType.batch.rawValue {
            try takeBatch(reader.readRestSpan(), events: &events)
        } else {
            try takeEntry(number, type, reader.readRestSpan(), events: &events)
        }
    }

    private mutating func takeBatch(
        _ batch: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        var reader = WireReader(batch)
        var number: UInt64
        do { number = try reader.readUInt() } catch { throw .malformed(error) }
        while !reader.isAtEnd {
            let entry: Span<UInt8>
            do { entry = try reader.readBufferSpan(max: .max) } catch { throw .malformed(error) }
            guard !entry.isEmpty else {
                do { number = try reader.readUInt() } catch { throw .malformed(error) }
                continue
            }
            var entryReader = WireReader(entry)
            let type: UInt64
            do { type = try entryReader.readUInt() } catch { throw .malformed(error) }
            guard number != 0 || type != ControlType.batch.rawValue else { throw .nestedBatch }
            try takeEntry(number, type, entryReader.readRestSpan(), events: &events)
        }
    }

    /// One message that is no batch.
    private mutating func takeEntry(
        _ number: UInt64, _ type: UInt64, _ payload: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        guard number == 0 else {
            return takeChannelMessage(number, Int(type), payload, events: &events)
        }
        switch ControlType(rawValue: type) {
        case .open: try takeOpen(payload, events: &events)
        case .reject: try takeReject(payload, events: &events)
        case .close: try takeClose(payload, events: &events)
        case .batch, nil: break
        }
    }

    private mutating func takeChannelMessage(
        _ number: UInt64, _ type: Int, _ payload: Span<UInt8>, events: inout [Event]
    ) {
        guard number <= UInt64(remoteHalves.count) else { return }
        switch remoteHalves[Self.index(number)] {
        case .free:
            break
        case .matched(let localNumber):
            guard let half = localHalves[Self.index(localNumber)] else { return }
            events.append(
                .message(half.channel, type: type, payload: [UInt8](copying: payload)))
        case .waiting:
            keep(number, type, payload)
        }
    }

    /// Keeps a message until its channel is answered. The channel that goes beyond the limit is
    /// rejected: the other side may try again, while dropping one message would break its protocol.
    private mutating func keep(_ number: UInt64, _ type: Int, _ payload: Span<UInt8>) {
        let size = payload.count + Limits.keptOverhead
        guard keptBytes + size <= Limits.keptBytesMax else {
            _ = takeWaitingOpen { $0.remoteNumber == number }
            return rejectOpen(number)
        }
        guard let index = waitingOpens.firstIndex(where: { $0.remoteNumber == number }) else {
            return
        }
        keptBytes += size
        waitingOpens[index].keptBytes += size
        waitingOpens[index].messages.append((type, [UInt8](copying: payload)))
    }

    // MARK: Control messages

    private mutating func takeOpen(
        _ body: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        var reader = WireReader(body)
        let (number, protocolName, id): (UInt64, String, [UInt8])
        do {
            number = try reader.readUInt()
            protocolName = try reader.readString(max: Limits.nameSizeMax)
            id = try reader.readBuffer(max: Limits.nameSizeMax)
        } catch {
            throw .malformed(error)
        }
        // Nobody may open the control channel; it is the one refusal that costs no connection.
        guard number > 0 else { return sendControl(.reject, 0) }
        guard number <= UInt64(Limits.channelsMax), number <= UInt64(remoteHalves.count) + 1 else {
            throw .invalidOpen(number)
        }
        if number > UInt64(remoteHalves.count) { remoteHalves.append(.free) }
        guard remoteHalves[Self.index(number)] == .free else { throw .invalidOpen(number) }

        if let half = oldestUnanswered(protocolName, id) {
            guard half.state == .unmatched else {
                // Ours was closed before this Open came. Our Close is under way to the other side
                // and closes its half; the number of ours is free again.
                localHalves[Self.index(half.channel.number)] = nil
                return
            }
            match(local: half.channel.number, remote: number)
            events.append(.opened(half.channel, handshake: reader.readRest()))
            return
        }
        let size = body.count + Limits.keptOverhead
        guard waitingOpens.count < Limits.waitingOpensMax,
            keptBytes + size <= Limits.keptBytesMax
        else { return rejectOpen(number) }
        keptBytes += size
        remoteHalves[Self.index(number)] = .waiting
        waitingOpens.append(
            WaitingOpen(
                remoteNumber: number, protocolName: protocolName, id: id,
                handshake: reader.readRest(), keptBytes: size))
        events.append(.openRequested(protocolName: protocolName, id: id))
    }

    /// The oldest half of ours under this name and id that the other side has not answered, whether
    /// closed by us meanwhile or not.
    private func oldestUnanswered(_ protocolName: String, _ id: [UInt8]) -> LocalHalf? {
        var oldest: LocalHalf?
        for case let half? in localHalves where half.id == id && half.protocolName == protocolName {
            if case .matched = half.state { continue }
            if let found = oldest, found.channel.serial < half.channel.serial { continue }
            oldest = half
        }
        return oldest
    }

    private mutating func takeReject(
        _ body: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        let number = try readNumber(body)
        guard number > 0, number <= UInt64(localHalves.count),
            let half = localHalves[Self.index(number)]
        else { throw .invalidReject(number) }
        switch half.state {
        case .matched: throw .invalidReject(number)
        case .unmatched: events.append(.closed(half.channel))
        case .abandoned: break
        }
        localHalves[Self.index(number)] = nil
    }

    private mutating func takeClose(
        _ body: Span<UInt8>, events: inout [Event]
    ) throws(ProtomuxError) {
        let number = try readNumber(body)
        guard number > 0, number <= UInt64(remoteHalves.count) else { return }
        switch remoteHalves[Self.index(number)] {
        case .free:
            break
        case .matched(let localNumber):
            remoteHalves[Self.index(number)] = .free
            guard let half = localHalves[Self.index(localNumber)] else { return }
            localHalves[Self.index(localNumber)] = nil
            events.append(.closed(half.channel))
        case .waiting:
            // The other side cannot use its number again before it has an answer to its Open.
            _ = takeWaitingOpen { $0.remoteNumber == number }
            rejectOpen(number)
        }
    }

    private func readNumber(_ body: Span<UInt8>) throws(ProtomuxError) -> UInt64 {
        var reader = WireReader(body)
        do {
            return try reader.readUInt()
        } catch {
            throw .malformed(error)
        }
    }
}
