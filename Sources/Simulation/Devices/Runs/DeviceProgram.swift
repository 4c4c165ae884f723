internal import Base

/// Draws the steps of a run from a seed.
struct DeviceProgram {
    private var random: SeededRandom
    private let options: DeviceOptions
    private var devices = 0
    private var steps: [DeviceStep] = []

    /// - Returns: a run; the same for the same seed and options.
    static func script(seed: UInt64, _ options: DeviceOptions) -> DeviceScript {
        var program = DeviceProgram(seed: seed, options)
        return program.make(seed: seed)
    }

    private init(seed: UInt64, _ options: DeviceOptions) {
        random = SeededRandom(seed: seed &* 0x9e37_79b9 &+ 7)
        self.options = options
    }

    private mutating func make(seed: UInt64) -> DeviceScript {
        let members = options.devices ?? 2 + below(4)
        devices = members
        let isAlternating = below(5) == 0
        if below(4) > 0 {
            for name in ["a", "b", "a/b"] { steps.append(.makeDirectory(0, name)) }
            for name in ["n.txt", "m.txt", "a/n.txt"] { steps.append(.write(0, name, .inPlace)) }
            if isAlternating { walk() }
        }
        if isAlternating {
            for _ in 0..<4 + below(10) { alternate() }
        } else {
            steps.append(.run(milliseconds: 4000))
            let count = [20, 50, 100, 200][below(4)]
            while steps.count < count {
                addSteps()
                if below(60) == 0 { steps.append(.settle) }
            }
        }
        if let hours = options.hours { stretch(to: hours) }
        return DeviceScript(
            seed: seed, devices: members, isAlternating: isAlternating, steps: steps)
    }

    /// Spreads nights over a run.
    private mutating func stretch(to hours: Int) {
        let slept = steps.reduce(0) { sum, step in
            if case .sleep(let hours) = step { sum + hours } else { sum }
        }
        guard slept < hours else { return }
        let nights = max(1, steps.count / 10)
        for night in 0..<nights {
            steps.insert(
                .sleep(hours: max(1, (hours - slept) / nights)), at: night * 11 % (steps.count + 1))
        }
    }

    // MARK: What comes next

    private mutating func addSteps() {
        switch below(20) {
        case 0..<3: addFault()
        case 3..<6: steps.append(.run(milliseconds: [5, 60, 500, 3000][below(4)]))
        case 6: steps.append(.look(below(devices)))
        case 7:
            steps.append(below(4) == 0 ? .rebuild(below(devices)) : .sync(below(devices)))
        default:
            let device = below(devices)
            for _ in 0...below(3) { addProgram(on: device) }
        }
    }

    /// One person goes to one device, works, and waits until all is everywhere.
    private mutating func alternate() {
        let device = below(devices)
        if has(.offline), below(4) == 0 { steps.append(.offline((device + 1) % devices)) }
        if has(.clock), below(4) == 0 { addClock() }
        for _ in 0...below(6) {
            addProgram(on: device, alone: true)
            if below(3) == 0 { steps.append(.run(milliseconds: below(400))) }
            if has(.stop), below(12) == 0 {
                steps.append(.sync(device))
                steps.append(.stop(device, .powerCut, afterOperations: 0))
                steps.append(.start(device))
            }
        }
        if has(.sleep), below(4) == 0 { steps.append(.sleep(hours: 1 + below(100))) }
        walk()
    }

    private mutating func walk() {
        steps += [.settle, .run(milliseconds: DeviceScript.walk)]
    }

    private mutating func addProgram(on device: Int, alone: Bool = false) {
        let (path, other) = (somePath(), somePath())
        switch below(40) {
        case 0..<7: steps.append(.write(device, path, SaveStyle.allCases[below(4)]))
        case 7: steps.append(.writeSlowly(device, path, milliseconds: 1 + below(800)))
        case 8..<13: steps.append(.edit(device, path, random.next() >> 40))
        case 13: steps.append(.writeSame(device, path))
        case 14:
            // Now and then of more chunks than an operation names.
            let kilobytes = below(12) == 0 ? 12_000 : [1, 8, 60, 300][below(4)]
            steps.append(.writeBinary(device, path, kilobytes: kilobytes))
        case 15..<19: steps.append(.makeDirectory(device, path))
        case 19..<24: steps.append(.rename(device, path, to: other))
        case 24: steps.append(.exchange(device, path, with: other))
        case 25..<27: steps.append(.unlink(device, path))
        case 27: steps.append(.removeDirectory(device, path))
        case 28..<30: steps.append(.removeTree(device, path))
        case 30: steps.append(.symlink(device, path, to: ["x", "y"][below(2)]))
        case 31: steps.append(.link(device, path, to: other))
        case 32: steps.append(.setMode(device, path, UInt16(0o600 + below(64))))
        case 33:
            steps.append(
                below(2) == 0
                    ? .setOwner(device, path, UInt32(below(3)))
                    : .setTime(device, path, Int64(below(1 << 30))))
        case 34:
            steps.append(
                below(3) == 0
                    ? .removeXattr(device, path) : .setXattr(device, path, UInt8(below(4))))
        case 35: steps.append(.stage(device, path))
        case 36..<38 where !alone:
            steps.append(below(2) == 0 ? .open(device, path) : .save(device))
        case 38 where !alone:
            let directory = below(2) == 0 ? "" : ["a", "b"][below(2)]
            switch below(3) {
            case 0: steps.append(.removeCopy(device, directory))
            case 1: steps.append(.editCopy(device, directory))
            default: steps.append(.renameCopy(device, directory, to: other))
            }
        default: steps.append(.write(device, path, .inPlace))
        }
    }

    private mutating func addFault() {
        let device = below(devices)
        let faults = DeviceOptions.Fault.allCases.filter(has)
        guard !faults.isEmpty else { return }
        switch faults[below(faults.count)] {
        case .stop:
            let stop: Stop = below(2) == 0 ? .killed : .powerCut
            steps.append(.stop(device, stop, afterOperations: [0, 5, 40, 300][below(4)]))
            if below(3) > 0 { addProgram(on: device) }
            steps.append(.start(device))
        case .offline: steps.append(below(2) == 0 ? .offline(device) : .online(device))
        case .partition:
            steps.append(.partition((0..<devices).map { _ in below(2) }))
        case .cut: steps.append(.cut)
        case .pause: steps.append(below(2) == 0 ? .pause(device) : .resume(device))
        case .clock: addClock()
        case .disk: steps.append(below(2) == 0 ? .fillDisk(device) : .freeDisk(device))
        case .join:
            guard devices < 7 else { return }
            steps.append(.join)
            devices += 1
        case .sleep: steps.append(.sleep(hours: [1, 12, 200, 3000][below(4)]))
        case .clone:
            guard devices < 7 else { return }
            steps.append(.clone(device))
            devices += 1
        case .backup: steps.append(below(3) == 0 ? .backUp(device) : .putBack(device))
        case .end: steps.append(.end(device, isRevoked: below(2) == 0))
        }
    }

    private mutating func addClock() {
        let day = 86_400
        steps.append(
            .setClock(
                below(devices), aheadSeconds: Int.random(in: -5 * day...5 * day, using: &random)))
    }

    // MARK: Small choices

    private func has(_ fault: DeviceOptions.Fault) -> Bool { options.faults.contains(fault) }
    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    /// One of few, so that devices meet.
    private mutating func somePath() -> String {
        let names = ["n.txt", "m.txt", "k.bin", "n.txt", "m.txt", "a", "b", "c"]
        var parts: [String] = []
        while parts.count < 2, below(3) == 0 { parts.append(["a", "a", "b", "c"][below(4)]) }
        parts.append(names[below(names.count)])
        return parts.joined(separator: "/")
    }
}
