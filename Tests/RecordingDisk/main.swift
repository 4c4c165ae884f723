// A disk for power failures: mounted at one folder, its files in another. SIGUSR1 is the failure: what
// the disk may hold then is written to a third folder, and the disk is gone. After SIGUSR2 every change
// and every sync fails with EIO.
import Base
import CFuse3
import CLinux
import Foundation
import Glibc
import Synchronization

let words = Array(CommandLine.arguments.dropFirst())
guard words.count == 5, let model = PowerFailure.Model(rawValue: words[3]),
    let seed = UInt64(words[4])
else {
    print("usage: recording-disk FOLDER MOUNTPOINT IMAGE ext4|strict SEED")
    exit(2)
}
let (backing, mountPoint, image) = (words[0], words[1], words[2])

do {
    theDisk = try RecordingDisk(backing: backing, model: model)
} catch {
    print("recording-disk: \(error)")
    exit(1)
}

/// Blocked in every thread but the one that waits for it.
let failureSignals: sigset_t = {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGUSR1)
    sigaddset(&signals, SIGUSR2)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    return signals
}()
let watch = Thread {
    while true {
        var (signals, number) = (failureSignals, Int32(0))
        sigwait(&signals, &number)
        diskLock.withLock { _ in
            if number == SIGUSR2 { return theDisk.isBroken = true }
            // Never let go: nothing happens after the failure.
            do {
                try theDisk.fail(seed: seed, to: image)
                _exit(0)
            } catch {
                print("recording-disk: \(error)")
                _exit(1)
            }
        }
    }
}
watch.start()

let options = ["recording-disk", "-f", "-s", "-o", "default_permissions", mountPoint]
var arguments: [UnsafeMutablePointer<CChar>?] = options.map { (word: String) in strdup(word) }
var table = DiskCallbacks.table()
exit(
    fuse_main_real(
        Int32(arguments.count), &arguments, &table, MemoryLayout<fuse_operations>.size, nil))
