/// How a NAT treats UDP, in the words of RFC 4787.
package struct NATBehaviour: Hashable, Sendable {
    package enum Mapping: Sendable {
        /// One outer port for an inner endpoint, whomever it writes to (RFC 4787 section 4.1).
        case endpointIndependent
        /// A new outer port for every destination, address and port: a "symmetric" or random NAT.
        case addressAndPortDependent
    }

    package enum Filtering: Sendable {
        /// Everybody may answer to a mapped port (RFC 4787 section 5).
        case endpointIndependent
        /// Only addresses that were written to, from any of their ports.
        case addressDependent
        /// Only endpoints that were written to.
        case addressAndPortDependent
        /// No UDP passes, in or out.
        case everything
    }

    package var mapping: Mapping
    package var filtering: Filtering
    /// The outer port is the inner one if it is free (RFC 4787 section 4.2.1), else random.
    package var preservesPorts: Bool
    /// A mapping and each permission to answer die after so much silence from inside.
    package var timeout: Duration
    /// Whether traffic from outside counts against the silence as well (RFC 4787 REQ-6).
    package var refreshesInbound = false
    /// Whether two hosts behind it reach each other by its outer address.
    package var hairpins = false

    package init(
        mapping: Mapping, filtering: Filtering, preservesPorts: Bool,
        timeout: Duration = .seconds(120)
    ) {
        self.mapping = mapping
        self.filtering = filtering
        self.preservesPorts = preservesPorts
        self.timeout = timeout
    }

    package static let fullCone = NATBehaviour(
        mapping: .endpointIndependent, filtering: .endpointIndependent, preservesPorts: true)
    package static let addressRestricted = NATBehaviour(
        mapping: .endpointIndependent, filtering: .addressDependent, preservesPorts: true)
    package static let portRestricted = NATBehaviour(
        mapping: .endpointIndependent, filtering: .addressAndPortDependent, preservesPorts: true)
    package static let symmetric = NATBehaviour(
        mapping: .addressAndPortDependent, filtering: .addressAndPortDependent,
        preservesPorts: false)
    package static let udpBlocked = NATBehaviour(
        mapping: .endpointIndependent, filtering: .everything, preservesPorts: false)
}

/// The situations of a host that are simulated, each a chain of NATs.
package enum NATKind: String, CaseIterable, Sendable {
    /// A public address.
    case open
    case fullCone = "full cone"
    case addressRestricted = "address-restricted"
    case portRestricted = "port-restricted"
    case symmetric
    /// A port-restricted NAT at home behind a port-restricted one of the carrier.
    case double
    case udpBlocked = "UDP blocked"

    /// From the internet inwards.
    package var chain: [NATBehaviour] {
        switch self {
        case .open: []
        case .fullCone: [.fullCone]
        case .addressRestricted: [.addressRestricted]
        case .portRestricted: [.portRestricted]
        case .symmetric: [.symmetric]
        case .double: [.portRestricted, .portRestricted]
        case .udpBlocked: [.udpBlocked]
        }
    }
}
