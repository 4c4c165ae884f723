internal import Base

/// `simulate moves`: all small histories of directory moves, growing.
enum MoveReport {
    /// With every cut into batches, and wide: histories of fewer directories are among those of more.
    private static let sizes: [(directories: Int, moves: Int, everyBatch: Bool)] = [
        (3, 5, true), (4, 5, true), (5, 6, false),
    ]

    /// - Returns: the exit status: 1 if an order of arrival gave another tree than the model.
    static func write(_ write: (String) -> Void) -> Int32 {
        var status: Int32 = 0
        for size in sizes {
            do throws(StorageError) {
                let result = try MoveExploration.run(
                    directories: size.directories, moves: size.moves, everyBatch: size.everyBatch)
                write(
                    "\(size.directories) directories, up to \(size.moves) moves: \(result.histories)"
                        + " histories, \(result.arrivals) arrivals, \(result.failures.count) wrong\n"
                )
                for failure in result.failures { write("  \(failure)\n") }
                if !result.failures.isEmpty { status = 1 }
            } catch {
                write("\(error)\n")
                status = 1
            }
        }
        return status
    }
}
