/// How the program ends; documented in `holdfast help`, never renumbered.
enum ExitCode: Int32, CaseIterable {
    case success = 0
    case general = 1
    case usage = 2
    case notFound = 3
    case noPeer = 4
    case temporary = 5
    case conflicts = 6
    case integrity = 7
    case denied = 8
    case notRunning = 10
    case inUse = 11
    case wrongLink = 12

    var meaning: String {
        switch self {
        case .success: "done"
        case .general: "failed for another reason"
        case .usage: "the command line is wrong"
        case .notFound: "no such share, path or file"
        case .noPeer: "no peer could be reached"
        case .temporary: "failed for now: try again"
        case .conflicts: "there are conflicts"
        case .integrity: "stored data is damaged"
        case .denied: "not permitted"
        case .notRunning: "the share's daemon is not running"
        case .inUse: "in use by another process or share"
        case .wrongLink: "the invite link is wrong"
        }
    }
}
