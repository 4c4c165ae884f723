/// A promise that a run saw broken.
package struct Violation: Hashable, Sendable {
    package enum Promise: String, Sendable {
        case agreement, model, invariant, bytes, falseConflict, durability, dead, announced, error
        case names, fork, progress
    }

    package let promise: Promise
    package let detail: String

    package init(_ promise: Promise, _ detail: String) {
        self.promise = promise
        self.detail = detail
    }
}
