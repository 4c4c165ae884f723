import Base

extension ContentError {
    /// Runs `body`; what storage says becomes a content error.
    static func wrapping<Result>(_ body: () throws(StorageError) -> Result) throws(ContentError)
        -> Result
    {
        do {
            return try body()
        } catch {
            throw .storage(error)
        }
    }
}
