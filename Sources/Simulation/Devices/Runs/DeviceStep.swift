/// How a program writes a file anew.
package enum SaveStyle: Hashable, Sendable, CaseIterable {
    /// Opens, truncates, writes.
    case inPlace
    /// Writes a file beside it and renames that over it.
    case renameOver
    /// Renames the old one aside, writes a new one, removes the old.
    case backup
    /// Removes the old one, makes a new one.
    case unlinkFirst
}

/// One step of a run; the first number is the device that takes it.
///
/// A step that makes no sense at its moment (a path that is not there) changes nothing, so that any
/// part of a run is a run.
package enum DeviceStep: Hashable, Sendable {
    // Programs.
    case write(Int, String, SaveStyle)
    /// Saves by rename; the temporary file was made so much earlier.
    case writeSlowly(Int, String, milliseconds: Int)
    /// The same bytes whoever writes them.
    case writeSame(Int, String)
    /// Reads the text, changes a word or a line as the number says, and writes it.
    case edit(Int, String, UInt64)
    case writeBinary(Int, String, kilobytes: Int)
    /// Keeps a file open, with what it shows now.
    case open(Int, String)
    /// Saves through what was opened first.
    case save(Int)
    /// Writes without closing, and syncs: the bytes wait in a staging file.
    case stage(Int, String)
    case makeDirectory(Int, String)
    case symlink(Int, String, to: String)
    case link(Int, String, to: String)
    case rename(Int, String, to: String)
    case exchange(Int, String, with: String)
    case unlink(Int, String)
    case removeDirectory(Int, String)
    case removeTree(Int, String)
    case setMode(Int, String, UInt16)
    case setOwner(Int, String, UInt32)
    case setTime(Int, String, Int64)
    case setXattr(Int, String, UInt8)
    case removeXattr(Int, String)
    /// The first conflict copy in a directory is removed, edited, or renamed.
    case removeCopy(Int, String)
    case editCopy(Int, String)
    case renameCopy(Int, String, to: String)
    case sync(Int)

    // Faults.
    /// The device stops at a later storage operation; at once if that is 0.
    case stop(Int, Stop, afterOperations: Int)
    case start(Int)
    case offline(Int)
    case online(Int)
    /// Devices reach those in their own group.
    case partition([Int])
    case cut
    case pause(Int)
    case resume(Int)
    case setClock(Int, aheadSeconds: Int)
    case fillDisk(Int)
    case freeDisk(Int)
    /// A new device, through an invite of the share.
    case join
    /// The folder of a device is copied and used on another machine.
    case clone(Int)
    /// The folder of a device is copied to a safe place.
    case backUp(Int)
    /// When everybody has everything, a device goes back to the copy of its folder.
    case putBack(Int)
    /// The founder revokes or retires a device, which goes on as before.
    case end(Int, isRevoked: Bool)

    // Time.
    case run(milliseconds: Int)
    /// Everybody sleeps, without connections.
    case sleep(hours: Int)
    /// A device makes its view anew from its logs.
    case rebuild(Int)
    /// One device's view is looked through.
    case look(Int)
    /// All faults end, and all devices must agree.
    case settle

    /// As it stands in source code.
    package var source: String {
        var text = "\(self)"
        for type in ["Simulation.SaveStyle", "Simulation.Stop"] {
            while let range = text.firstRange(of: type) { text.removeSubrange(range) }
        }
        return "." + text
    }

    /// The device on which a program changes something.
    var worker: Int? {
        switch self {
        case .write(let device, _, _), .writeSlowly(let device, _, _), .writeSame(let device, _),
            .edit(let device, _, _), .writeBinary(let device, _, _), .save(let device),
            .stage(let device, _), .makeDirectory(let device, _), .symlink(let device, _, _),
            .link(let device, _, _), .rename(let device, _, _), .exchange(let device, _, _),
            .unlink(let device, _), .removeDirectory(let device, _), .removeTree(let device, _),
            .setMode(let device, _, _), .setOwner(let device, _, _), .setTime(let device, _, _),
            .setXattr(let device, _, _), .removeXattr(let device, _), .removeCopy(let device, _),
            .editCopy(let device, _), .renameCopy(let device, _, _):
            device
        case .open, .sync, .stop, .start, .offline, .online, .partition, .cut, .pause, .resume,
            .setClock, .fillDisk, .freeDisk, .join, .clone, .backUp, .putBack, .end, .run, .sleep,
            .rebuild, .look,
            .settle:
            nil
        }
    }

    /// Whether it is one of the faults.
    package var isFault: Bool {
        switch self {
        case .stop, .offline, .partition, .cut, .pause, .setClock, .fillDisk, .clone, .backUp,
            .putBack, .join, .end:
            true
        default: false
        }
    }
}

/// A run, and all that it depends on.
package struct DeviceScript: Equatable, Sendable {
    /// What the network and the contents are drawn from.
    package var seed: UInt64
    /// Members at the beginning.
    package var devices: Int
    /// Whether one person works on one device at a time, all having caught up: no conflict may show.
    package var isAlternating: Bool
    package var steps: [DeviceStep]

    package init(seed: UInt64, devices: Int, isAlternating: Bool = false, steps: [DeviceStep]) {
        self.seed = seed
        self.devices = devices
        self.isAlternating = isAlternating
        self.steps = steps
    }

    /// Whether the devices that work between two settlings are never two, and nobody is at the next one at once.
    var keepsToOneDevice: Bool {
        var current: Int?
        var last: Int?
        var walked = 0
        for step in steps {
            switch step {
            case .settle: (current, walked) = (nil, 0)
            case .run(let milliseconds): walked += milliseconds
            case .sleep: walked = Self.walk
            default: break
            }
            guard let device = step.worker else { continue }
            guard current ?? device == device else { return false }
            if current == nil, let last, last != device, walked < Self.walk { return false }
            (current, last) = (device, device)
        }
        return true
    }

    /// What a person takes to the next device, in milliseconds: by then no file that was made before is taken for the
    /// beginning of a save (`Engine.isTemporary`).
    static let walk = 60_000

    /// As it stands in a test.
    package var source: String {
        let head = "DeviceScript(\n    seed: \(seed), devices: \(devices)"
        let kind = isAlternating ? ", isAlternating: true" : ""
        let lines = steps.map { "        \($0.source),\n" }.joined()
        return head + kind + ",\n    steps: [\n\(lines)    ])\n"
    }
}
