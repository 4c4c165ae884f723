/// What an object is, for good. The raw value is on the wire.
package enum ObjectKind: UInt8, Sendable {
    case file = 0
    case directory = 1
    case symlink = 2
    case fifo = 3
    case socket = 4
    case characterDevice = 5
    case blockDevice = 6
}
