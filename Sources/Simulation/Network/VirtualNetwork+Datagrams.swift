package import Base
package import Wire

/// What is on its way: sending, arriving, the clock.
extension VirtualNetwork {
    /// Sends all that a core wrote.
    package mutating func send(_ batch: borrowing DatagramBatch, from host: HostID) {
        for entry in batch.entries {
            send(
                batch.bytes.span.extracting(entry.range), from: host, via: entry.socket,
                to: entry.destination, timeToLive: entry.timeToLive)
        }
    }

    /// Sends one datagram; whatever stops it is counted in `statistics` and nowhere else.
    ///
    /// - Parameter timeToLive: 0 for the usual 64. Each NAT is a hop, the public path at least 8.
    package mutating func send(
        _ datagram: Span<UInt8>, from host: HostID, via socket: SocketID,
        to destination: NetworkEndpoint, timeToLive: UInt8 = 0
    ) {
        statistics.sent += 1
        statistics.sentBytes += datagram.count
        hosts[host.index].traffic.sent += 1
        hosts[host.index].traffic.sentBytes += datagram.count
        guard datagram.count <= configuration.payloadBytesMax,
            let port = hosts[host.index].sockets.first(where: { $0.id == socket })?.port,
            case .v4(let address) = destination.address
        else {
            statistics.unreachable += 1
            return
        }
        let remote = NATBox.Endpoint(address: address, port: destination.port)
        var source = NATBox.Endpoint(address: hosts[host.index].address, port: port)
        var realm = hosts[host.index].realm
        var hops = 0
        var passed = AddressOwner(host: host.index)
        // Out through the NATs until a realm knows the address.
        while true {
            if let owner = owners.owner(of: address, in: realm) {
                return depart(
                    Departure(
                        host: host.index, source: source, port: remote.port, owner: owner,
                        realm: realm, hops: hops, hopsMax: timeToLive == 0 ? 64 : Int(timeToLive),
                        site: passed.code),
                    datagram)
            }
            guard realm > 0 else {
                statistics.unreachable += 1
                return
            }
            let nat = Int(realm) - 1
            guard
                let port = nats[nat].translateOutward(
                    source, to: remote, now: clock, random: &random),
                nats[nat].outerAddress != address || nats[nat].behaviour.hairpins
            else {
                statistics.filtered += 1
                return
            }
            source = NATBox.Endpoint(address: nats[nat].outerAddress, port: port)
            hops += 1
            realm = nats[nat].outerRealm
            passed = AddressOwner(nat: nat)
        }
    }

    /// The next thing that happens, if it happens before `limit`; else the clock moves there (the
    /// end of all things leaves it where it is).
    package mutating func next(until limit: Instant = .distantFuture) -> Event? {
        while let entry = queue.first, entry.nanoseconds <= limit.nanoseconds {
            _ = queue.removeFirst()
            clock = max(clock, entry.nanoseconds)
            switch entry.event {
            case .arrival(let flight):
                if let delivery = arrive(flight) { return .datagram(delivery) }
            case .timer(let host):
                if isDue(host, queuedFor: entry.nanoseconds) {
                    return .timer(HostID(index: Int(host)))
                }
            case .alarm(let number): return .alarm(number)
            }
        }
        if limit != .distantFuture { clock = max(clock, limit.nanoseconds) }
        return nil
    }

    /// Asks for a `timer` event at that time, instead of the one asked for before. A host has one;
    /// a time that has passed comes at once, `distantFuture` never.
    package mutating func setTimer(_ time: Instant, of host: HostID) {
        let wanted = max(time.nanoseconds, clock)
        hosts[host.index].timer = wanted
        // An earlier entry looks again when it comes up: timers that move away cost nothing.
        guard wanted < hosts[host.index].queuedTimer else { return }
        hosts[host.index].queuedTimer = wanted
        queue.insert(.timer(host: Int32(host.index)), at: wanted)
    }

    /// Asks for an `alarm` event with this number, for the caller's own plans.
    package mutating func setAlarm(_ number: UInt64, at time: Instant) {
        queue.insert(.alarm(number), at: max(time.nanoseconds, clock))
    }

    private mutating func isDue(_ index: Int32, queuedFor time: UInt64) -> Bool {
        let host = Int(index)
        // A later entry than the one that counts: it was overtaken.
        guard hosts[host].queuedTimer == time else { return false }
        hosts[host].queuedTimer = .max
        let timer = hosts[host].timer
        guard timer != .max else { return false }
        if timer <= clock {
            hosts[host].timer = .max
            return true
        }
        hosts[host].queuedTimer = timer
        queue.insert(.timer(host: index), at: timer)
        return false
    }

    private struct Departure {
        let host: Int
        let source: NATBox.Endpoint
        let port: UInt16
        let owner: AddressOwner
        let realm: Int32
        let hops: Int
        let hopsMax: Int
        /// The host or the outermost NAT that it comes from.
        let site: Int32
    }

    private mutating func depart(_ departure: Departure, _ datagram: Span<UInt8>) {
        let isPublic = departure.realm == 0
        var hops = departure.hops + 1
        if isPublic {
            hops = departure.hops
            hops += latency.publicHops(from: departure.site, to: departure.owner.code)
        }
        guard hops <= departure.hopsMax else {
            statistics.timeToLiveExceeded += 1
            return
        }
        let noise = random.next()
        if isPublic, noise >> 32 < lossThreshold {
            statistics.lost += 1
            return
        }
        guard let queued = hosts[departure.host].queue(datagram.count, now: clock) else {
            statistics.lost += 1
            return
        }
        let delay =
            isPublic
            ? latency.delay(from: departure.site, to: departure.owner.code, noise: noise)
            : latency.localDelay(noise: noise)
        var flight = DatagramPool.Flight()
        flight.source = departure.source.address
        flight.sourcePort = departure.source.port
        flight.destinationPort = departure.port
        flight.owner = departure.owner
        flight.site = isPublic ? departure.site : DatagramPool.Flight.unparted
        queue.insert(
            .arrival(flight: pool.insert(flight, datagram)), at: clock &+ queued &+ delay)
    }

    /// In through the NATs to a socket.
    private mutating func arrive(_ index: Int32) -> Delivery? {
        let flight = pool.remove(index, into: &delivered)
        if flight.site != DatagramPool.Flight.unparted, !partitions.isEmpty,
            partitions[flight.site, default: 0] != partitions[flight.owner.code, default: 0]
        {
            statistics.partitioned += 1
            return nil
        }
        let source = NATBox.Endpoint(address: flight.source, port: flight.sourcePort)
        var owner = flight.owner
        var port = flight.destinationPort
        while owner.host == nil {
            let nat = owner.nat
            guard let inner = nats[nat].translateInward(port: port, from: source, now: clock) else {
                statistics.filtered += 1
                return nil
            }
            port = inner.port
            owner =
                owners.owner(of: inner.address, in: nats[nat].innerRealm)
                ?? AddressOwner(host: Self.nobody)
        }
        guard let host = owner.host, host < hosts.count,
            let socket = hosts[host].sockets.first(where: { $0.port == port })
        else {
            statistics.unreachable += 1
            return nil
        }
        statistics.delivered += 1
        hosts[host].traffic.received += 1
        hosts[host].traffic.receivedBytes += delivered.count
        return Delivery(
            host: HostID(index: host), socket: socket.id,
            source: NetworkEndpoint(address: .v4(flight.source), port: flight.sourcePort))
    }
}
