internal import Base
internal import Share

/// Runs what touches only staging or chunks where a volume's errors are thrown.
func lift<Result>(_ body: () throws(StorageError) -> Result) throws(VolumeError) -> Result {
    do {
        return try body()
    } catch {
        throw .storage(error)
    }
}
