/// The datagrams that are on their way: fixed slots in two buffers that are used again and again, so
/// that nothing is allocated per datagram once a run has reached its depth.
struct DatagramPool: Sendable {
    /// One datagram, translated as far as its sender's side translates it.
    struct Flight: Sendable {
        var source: UInt32 = 0
        var sourcePort: UInt16 = 0
        var destinationPort: UInt16 = 0
        /// Whom it reaches in the realm where its destination address was found.
        var owner = AddressOwner(code: 0)
        /// From which site it comes; `unparted` where no partition can part the two.
        var site: Int32 = Flight.unparted
        var count: UInt16 = 0
        fileprivate var slot: Int32 = 0

        static let unparted = Int32.min
    }

    /// Most DHT datagrams fit in a small slot, every datagram in a large one.
    private static let smallBytes = 256
    static let largeBytes = 2048

    private var flights: [Flight] = []
    private var freeFlights: [Int32] = []
    private var small: [UInt8] = []
    private var large: [UInt8] = []
    private var freeSmall: [Int32] = []
    private var freeLarge: [Int32] = []

    /// - Parameter bytes: at most `largeBytes`.
    mutating func insert(_ flight: Flight, _ bytes: Span<UInt8>) -> Int32 {
        precondition(bytes.count <= Self.largeBytes, "\(bytes.count) bytes in one datagram")
        var flight = flight
        flight.count = UInt16(bytes.count)
        if bytes.count <= Self.smallBytes {
            flight.slot = Self.store(bytes, in: &small, free: &freeSmall, size: Self.smallBytes)
        } else {
            flight.slot = Self.store(bytes, in: &large, free: &freeLarge, size: Self.largeBytes)
        }
        if let index = freeFlights.popLast() {
            flights[Int(index)] = flight
            return index
        }
        flights.append(flight)
        return Int32(flights.count - 1)
    }

    /// Frees the slot; the bytes replace what `bytes` holds.
    mutating func remove(_ index: Int32, into bytes: inout [UInt8]) -> Flight {
        let flight = flights[Int(index)]
        freeFlights.append(index)
        bytes.removeAll(keepingCapacity: true)
        if Int(flight.count) <= Self.smallBytes {
            let start = Int(flight.slot) * Self.smallBytes
            bytes.append(contentsOf: small[start..<start + Int(flight.count)])
            freeSmall.append(flight.slot)
        } else {
            let start = Int(flight.slot) * Self.largeBytes
            bytes.append(contentsOf: large[start..<start + Int(flight.count)])
            freeLarge.append(flight.slot)
        }
        return flight
    }

    private static func store(
        _ bytes: Span<UInt8>, in buffer: inout [UInt8], free: inout [Int32], size: Int
    ) -> Int32 {
        let slot: Int32
        if let reused = free.popLast() {
            slot = reused
        } else {
            slot = Int32(buffer.count / size)
            buffer.append(contentsOf: repeatElement(0, count: size))
        }
        let start = Int(slot) * size
        var target = buffer.mutableSpan
        for index in bytes.indices { target[start + index] = bytes[index] }
        return slot
    }
}
