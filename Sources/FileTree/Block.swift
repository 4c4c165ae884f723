/// One entry of a log: operations that take effect together, when they were written and what
/// their author had seen.
package struct Block: Equatable, Sendable {
    package var time: HybridTime
    /// What the author had seen of other logs. Own earlier blocks are always seen: the element of
    /// the author's own log is the number of this block.
    package var clock: Clock
    /// In order; nil where one could not be decoded or broke a rule. It keeps its index.
    package var operations: [Operation?]

    package init(time: HybridTime, clock: Clock, operations: [Operation?]) {
        self.time = time
        self.clock = clock
        self.operations = operations
    }
}
