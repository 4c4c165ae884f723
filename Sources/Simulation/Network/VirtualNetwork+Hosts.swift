internal import Base
package import Wire

/// Hosts, their sockets and where they are.
extension VirtualNetwork {
    /// Puts a NAT into a realm; the network behind it is the new realm.
    package mutating func addNAT(
        _ behaviour: NATBehaviour, inside outer: RealmID = .internet
    ) -> RealmID {
        let realm = Int32(realmSizes.count)
        realmSizes.append(0)
        let address = newAddress(in: outer.index)
        owners.insert(AddressOwner(nat: nats.count), address: address, in: outer.index)
        nats.append(
            NATBox(behaviour, outerAddress: address, outerRealm: outer.index, innerRealm: realm))
        return RealmID(index: realm)
    }

    /// A host in a realm. On the internet its address is random, or the one asked for.
    ///
    /// - Parameter address: IPv4 and free; else it is not used.
    package mutating func addHost(
        in realm: RealmID = .internet, address: NetworkAddress? = nil
    ) -> HostID {
        let index = hosts.count
        hosts.append(Host(realm: realm.index, address: 0))
        settle(index, in: realm, address: address)
        return HostID(index: index)
    }

    /// A host with NATs of its own.
    ///
    /// - Parameter timeout: of the mappings; nil draws one of 30 to 120 seconds for each NAT.
    package mutating func addHost(behind kind: NATKind, timeout: Duration? = nil) -> HostID {
        addHost(in: addNATs(kind, timeout: timeout))
    }

    /// The NATs of a situation, one inside the other; the innermost realm.
    package mutating func addNATs(_ kind: NATKind, timeout: Duration? = nil) -> RealmID {
        var realm = RealmID.internet
        for var behaviour in kind.chain {
            behaviour.timeout = timeout ?? .seconds(Int.random(in: 30...120, using: &random))
            realm = addNAT(behaviour, inside: realm)
        }
        return realm
    }

    package var hostCount: Int { hosts.count }

    /// The host's own view of its address.
    package func address(of host: HostID) -> NetworkAddress {
        .v4(hosts[host.index].address)
    }

    /// The address by which the internet sees what the host sends.
    package func publicAddress(of host: HostID) -> NetworkAddress {
        var address = hosts[host.index].address
        var realm = hosts[host.index].realm
        while realm > 0 {
            address = nats[Int(realm) - 1].outerAddress
            realm = nats[Int(realm) - 1].outerRealm
        }
        return .v4(address)
    }

    package func realm(of host: HostID) -> RealmID { RealmID(index: hosts[host.index].realm) }

    /// Where the socket listens, in the host's realm; nil if it is not bound.
    package func endpoint(of socket: SocketID, at host: HostID) -> NetworkEndpoint? {
        hosts[host.index].sockets.first { $0.id == socket }
            .map { NetworkEndpoint(address: address(of: host), port: $0.port) }
    }

    /// Opens a socket; one that was open under this number is closed.
    ///
    /// - Parameter port: 0 for a random one.
    /// - Returns: the port, nil if it is taken.
    @discardableResult
    package mutating func bind(
        _ socket: SocketID, at host: HostID, port: UInt16 = 0
    ) -> UInt16? {
        close(socket, at: host)
        var chosen = port
        if port == 0 {
            repeat {
                chosen = UInt16.random(in: 1024...UInt16.max, using: &random)
            } while isBound(chosen, at: host)
        } else if isBound(port, at: host) {
            return nil
        }
        hosts[host.index].sockets.append(Socket(id: socket, port: chosen))
        return chosen
    }

    package mutating func close(_ socket: SocketID, at host: HostID) {
        hosts[host.index].sockets.removeAll { $0.id == socket }
    }

    /// The host is gone without a word: sockets closed, no timer. Datagrams on their way to it
    /// arrive nowhere. It may come back by binding sockets again.
    package mutating func remove(_ host: HostID) {
        hosts[host.index].sockets = []
        hosts[host.index].timer = .max
    }

    /// The host is unplugged and plugged in elsewhere, with a new address; its sockets stay bound.
    package mutating func move(
        _ host: HostID, to realm: RealmID, address: NetworkAddress? = nil
    ) {
        let old = hosts[host.index]
        owners.insert(AddressOwner(host: Self.nobody), address: old.address, in: old.realm)
        settle(host.index, in: realm, address: address)
    }

    /// Cuts the host off from all whose number differs, with everybody behind the same outermost
    /// NAT; 0 is the number of all at first. Datagrams on their way still arrive.
    package mutating func setPartition(_ number: Int, of host: HostID) {
        partitions[site(of: host.index).code] = number == 0 ? nil : number
    }

    /// An owner that exists nowhere: of addresses that were left.
    static var nobody: Int { Int(Int32.max) }

    /// The host or NAT by which the internet knows a host.
    func site(of host: Int) -> AddressOwner {
        var owner = AddressOwner(host: host)
        var realm = hosts[host].realm
        while realm > 0 {
            owner = AddressOwner(nat: Int(realm) - 1)
            realm = nats[Int(realm) - 1].outerRealm
        }
        return owner
    }

    private func isBound(_ port: UInt16, at host: HostID) -> Bool {
        hosts[host.index].sockets.contains { $0.port == port }
    }

    private mutating func settle(_ index: Int, in realm: RealmID, address: NetworkAddress?) {
        var chosen: UInt32?
        if case .v4(let wanted) = address, owners.owner(of: wanted, in: realm.index) == nil {
            chosen = wanted
        }
        let address = chosen ?? newAddress(in: realm.index)
        hosts[index].realm = realm.index
        hosts[index].address = address
        owners.insert(AddressOwner(host: index), address: address, in: realm.index)
    }

    /// A public address that nobody may call private (11.x.x.x to 99.x.x.x); behind NAT n the next
    /// one of 10.n.0.0/16, so that it is not by chance that of a host in a neighbouring realm.
    private mutating func newAddress(in realm: Int32) -> UInt32 {
        if realm == 0 {
            while true {
                let address =
                    UInt32.random(in: 11...99, using: &random) << 24
                    | UInt32.random(in: 1...0xff_fffe, using: &random)
                if owners.owner(of: address, in: 0) == nil { return address }
            }
        }
        realmSizes[Int(realm)] += 1
        return 0x0a00_0000 | (UInt32(realm) % 250 + 1) << 16 | (1 + realmSizes[Int(realm)]) & 0xffff
    }
}
