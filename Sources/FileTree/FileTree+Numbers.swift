package import Base

/// The numbers under which objects show on this device, as `stat` has them.
///
/// They are no part of the view: not replicated, not in the digest, forgotten when the view is made
/// again from the logs.
extension FileTree {
    /// Each of two files shows the other's number from now on.
    ///
    /// A save by rename keeps the target's identity; but who looks at numbers (tail, a cache of what
    /// was backed up) must see the temporary file take the target's place. Since numbers are only
    /// ever swapped, no two objects show the same, whatever comes back to life.
    package func swapNumbers(_ first: ObjectID, _ second: ObjectID) throws(StorageError) {
        precondition(held.count == 0, "operations are being applied")
        guard first != second, let left = try storage.object(first),
            let right = try storage.object(second)
        else { return }
        try show(left.number ?? first, as: second)
        try show(right.number ?? second, as: first)
    }

    /// The object that shows a number; nil if nothing ever did.
    package func bearer(of number: OperationID) throws(StorageError) -> OperationID? {
        if let row = try storage.object(number) { return row.bearer ?? number }
        return try storage.version(number) == nil ? nil : number
    }

    /// Takes an object that is to be forgotten out of the exchange of numbers: who shows its number shows the
    /// one that it shows itself.
    ///
    /// - Returns: false if its number is that of something people see: then it has to stay.
    func releaseNumber(of object: ObjectRow) throws(StorageError) -> Bool {
        guard let bearer = object.bearer, let number = object.number else {
            return object.bearer == nil && object.number == nil
        }
        guard let row = try storage.object(bearer), row.links == 0,
            try storage.object(number) != nil
        else { return false }
        // Nobody sees either: no reason to look at them another time.
        let watch = sweepWatch
        sweepWatch = nil
        defer { sweepWatch = watch }
        try show(number, as: bearer)
        return true
    }

    private func show(_ number: ObjectID, as bearer: ObjectID) throws(StorageError) {
        var shown = try required(try storage.object(number), "object \(number)")
        shown.bearer = bearer == number ? nil : bearer
        try put(shown)
        var object = try required(try storage.object(bearer), "object \(bearer)")
        object.number = bearer == number ? nil : number
        try put(object)
        for var entry in try storage.entries(of: bearer) {
            entry.number = object.number
            try put(entry)
        }
    }
}
