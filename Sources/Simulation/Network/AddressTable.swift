/// Who has an address: a host, or the outer side of a NAT.
struct AddressOwner: Hashable, Sendable {
    /// A host's index, or the complement of a NAT's.
    let code: Int32

    init(code: Int32) { self.code = code }
    init(host: Int) { code = Int32(host) }
    init(nat: Int) { code = ~Int32(nat) }

    /// nil for a NAT.
    var host: Int? { code >= 0 ? Int(code) : nil }
    /// The NAT's index, unless this is a host.
    var nat: Int { Int(~code) }
}

/// The addresses of every realm in one open table: asked once for each datagram, so it is a hash of
/// two words with linear probing and no deletion. Addresses are never given twice.
struct AddressTable: Sendable {
    private var keys: [UInt64] = Array(repeating: 0, count: 64)
    private var owners: [Int32] = Array(repeating: 0, count: 64)
    private var count = 0

    /// nil where nobody in this realm has the address.
    func owner(of address: UInt32, in realm: Int32) -> AddressOwner? {
        let key = Self.key(address, realm)
        let slot = Self.slot(of: key, in: keys)
        return keys[slot] == key ? AddressOwner(code: owners[slot]) : nil
    }

    mutating func insert(_ owner: AddressOwner, address: UInt32, in realm: Int32) {
        if 2 * (count + 1) > keys.count { grow() }
        let key = Self.key(address, realm)
        let slot = Self.slot(of: key, in: keys)
        if keys[slot] != key { count += 1 }
        keys[slot] = key
        owners[slot] = owner.code
    }

    private mutating func grow() {
        let (oldKeys, oldOwners) = (keys, owners)
        keys = Array(repeating: 0, count: 2 * oldKeys.count)
        owners = Array(repeating: 0, count: 2 * oldKeys.count)
        for index in oldKeys.indices where oldKeys[index] != 0 {
            let slot = Self.slot(of: oldKeys[index], in: keys)
            keys[slot] = oldKeys[index]
            owners[slot] = oldOwners[index]
        }
    }

    /// Never 0, which marks a free slot: realms count from one in the upper half.
    private static func key(_ address: UInt32, _ realm: Int32) -> UInt64 {
        UInt64(UInt32(realm + 1)) << 32 | UInt64(address)
    }

    private static func slot(of key: UInt64, in keys: [UInt64]) -> Int {
        let mask = keys.count - 1
        var slot = Int(truncatingIfNeeded: Mixing.mixed(key)) & mask
        while keys[slot] != 0, keys[slot] != key { slot = (slot + 1) & mask }
        return slot
    }
}
