import CLinux
import Glibc
import Swarm
package import Wire

/// What this machine's kernel and network interfaces say of themselves.
package enum SystemFacts {
    /// As `uname -r` prints it.
    package static var kernelRelease: String {
        let bytes = (try? readWhole("/proc/sys/kernel/osrelease", limitBytes: 256)) ?? []
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    /// Whether something keeps the clock right; nil if the kernel does not tell.
    package static var isClockSynchronized: Bool? {
        switch holdfast_clock_state() {
        case 0: false
        case 1: true
        default: nil
        }
    }

    /// Whether the kernel joins and splits datagrams of UDP streams by itself.
    package static var joinsDatagrams: Bool {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard let probe = try? Descriptor(socket(AF_INET, type, 0), "making a UDP socket") else {
            return false
        }
        return holdfast_joins_datagrams(probe.number) == 1
    }

    /// The errno of opening `/dev/fuse` for reading and writing; nil if that works.
    package static var fuseDeviceProblem: Int32? {
        let attempt = attempt { Int(unsafe open("/dev/fuse", O_RDWR | O_CLOEXEC)) }
        switch attempt {
        case .done(let number):
            close(Int32(number))
            return nil
        case .failed(let code): return code
        case .wouldBlock: return EAGAIN
        }
    }

    /// This machine's own IPv4 addresses, loopback only if there is no other.
    package static var localAddresses: [NetworkAddress] {
        SocketAddress.ofInterfaces(port: 0).compactMap { address in
            guard let found = NetworkAddress(address.host), case .v4 = found else { return nil }
            return found
        }
    }

    package static var isRoot: Bool { geteuid() == 0 }

    /// The first file of that name in the folders of `PATH` that may be run.
    package static func program(_ name: String, path: String) -> String? {
        path.split(separator: ":").map { "\($0)/\(name)" }.first { candidate in
            unsafe access(candidate, X_OK) == 0
        }
    }

    /// Whether a program runs as its owner, root, whoever starts it.
    package static func runsAsRoot(_ path: String) -> Bool {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return false }
        return status.st_uid == 0 && status.st_mode & S_ISUID != 0
    }
}
