import Base
import Host
import Share

/// Ending the logs of members.
extension MountedShare {
    func revoke(_ device: String?) throws(CommandFailure) -> [String] {
        do throws(MemberError) {
            return try volume.revoke(device ?? "").map { "\($0) is revoked" }
        } catch {
            throw Self.failure(error)
        }
    }

    func retire(_ device: String?) throws(CommandFailure) -> [String] {
        do throws(MemberError) {
            return ["\(try volume.retire(device ?? "")) is retired"]
        } catch {
            throw Self.failure(error)
        }
    }

    static func failure(_ error: MemberError) -> CommandFailure {
        switch error {
        case .unknown(let name):
            CommandFailure(
                .notFound, "no member is called \(name): holdfast status shows who there is")
        case .ambiguous(let name, let keys):
            CommandFailure(
                .usage,
                "\(keys.count) devices are called \(name): give the key of one instead:"
                    + " \(keys.joined(separator: ", "))")
        case .notOwner:
            CommandFailure(
                .denied,
                "this takes an owner's device: the one that made the share, or one that joined by"
                    + " holdfast invite --owner")
        case .isOwnDevice:
            CommandFailure(
                .usage, "this is the device itself: holdfast retire ends its own membership")
        case .hasEnded(let name):
            CommandFailure(.usage, "\(name) is no member any more")
        case .volume(.readOnly):
            CommandFailure(.temporary, "nothing can be written just now: try again")
        case .volume(let error): CommandFailure(.general, "\(error)")
        }
    }
}
