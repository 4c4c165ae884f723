import Base
import Foundation
import Glibc
import Testing

/// A disk that loses what was not synced when the power fails: `Tests/RecordingDisk`, mounted.
final class FailingDisk {
    let mountPoint: String
    private let place: Place
    private let model: String
    private var random: SeededRandom
    private var process: Subprocess?
    /// Of the failures so far; each leaves a new folder.
    private var number = 0

    private static let program =
        (Machine.program as NSString).deletingLastPathComponent + "/recording-disk"

    /// - Parameters:
    ///   - folder: of the place, where it is mounted.
    ///   - model: `ext4` or `strict`.
    init(_ folder: String, model: String, seed: UInt64, in place: Place) throws {
        self.place = place
        self.model = model
        random = SeededRandom(seed: seed)
        mountPoint = "\(place.path)/\(folder)"
        mkdir(mountPoint, 0o700)
        mkdir(platter, 0o700)
        try start()
    }

    private var platter: String { "\(mountPoint)-platter-\(number)" }

    private func start() throws {
        let backing = platter
        number += 1
        process = try place.start(
            [Self.program, backing, mountPoint, platter, model, "\(random.next() >> 1)"])
        guard wait(.seconds(10), until: { isMounted }) else {
            throw SubprocessError(description: "no recording disk at \(mountPoint)")
        }
    }

    private var isMounted: Bool { Machine.mounts(below: place.path).contains(mountPoint) }

    /// From now on nothing reaches the disk.
    func fail() {
        if let process { kill(process.id, SIGUSR1) }
    }

    /// The power is back. Nobody may use the disk any more.
    func restart() throws {
        guard process?.finish(within: .seconds(30)).code == 0 else {
            throw SubprocessError(description: "the recording disk crashed")
        }
        try place.shell("umount -l '\(mountPoint)'")
        try start()
    }
}
