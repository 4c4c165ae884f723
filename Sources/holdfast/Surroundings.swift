import FuseMount
import Host
import Swarm

/// What commands need of the machine around them; the tests have their own.
struct Surroundings {
    var signals: StopSignals
    /// - Parameter bootstrap: the nodes to begin with.
    var examineNetwork: (_ bootstrap: [PeerAddress]) -> NetworkFacts
    /// - Parameter path: the variable of that name.
    var examineMachine: (_ path: String) -> MachineFacts

    static var ofProcess: Surroundings {
        Surroundings(
            signals: .ofProcess, examineNetwork: NetworkExamination.run,
            examineMachine: { path in
                MachineFacts.gather(path: path, libraryVersion: FuseLibrary.version)
            })
    }
}
