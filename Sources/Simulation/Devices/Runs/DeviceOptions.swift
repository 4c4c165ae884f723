/// What a run of devices may be like.
package struct DeviceOptions: Equatable, Sendable {
    /// Kinds of faults, by the word that asks for them.
    package enum Fault: String, CaseIterable, Sendable {
        /// Processes killed and power cut, at any storage operation.
        case stop
        case offline
        case partition
        /// Connections that break, told or untold.
        case cut
        case pause
        /// Wall clocks that are days off, and jump.
        case clock
        /// Disks without room.
        case disk
        /// Devices that come late.
        case join
        /// Nights and weeks without connections.
        case sleep
        /// Folders copied and used twice.
        case clone
        /// Folders copied, and put back later.
        case backup
        /// Members that are revoked or retired, and come back.
        case end
    }

    package var seed: UInt64 = 1
    package var seeds = 1
    /// Members at the beginning, at most; 2 or more. Nil: 2 to 5.
    package var devices: Int?
    /// Virtual hours that a run spans; nil: whatever comes.
    package var hours: Int?
    package var faults: Set<Fault> = Set(Fault.allCases).subtracting([.clone, .backup, .end])

    package init() {}
}
