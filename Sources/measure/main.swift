// Measures the swarm on loopback, for Scripts/bench: one stream beside TCP, connecting and looking up
// through a DHT, idle connections. Prints one line of JSON a figure.
//
//     measure [MiB] [streams]     streams: nothing but the stream and TCP
//     measure merge               nothing but the merge of texts
//     measure tree fill|operations|open|return|publish|history|compact HOME [COUNT]
//                                 a share's engine and storage, no FUSE
import Glibc

if CommandLine.arguments.contains("merge") {
    measureMerging(rounds: 101)
    exit(0)
}
do {
    if CommandLine.arguments.dropFirst().first == "tree" {
        try measureTree(Array(CommandLine.arguments.dropFirst(2)))
        exit(0)
    }
    let megabytes = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1024
    let small = try makeNetwork(3)
    try measureTCP(megabytes)
    try measureStream(megabytes, small)
    if CommandLine.arguments.contains("streams") { exit(0) }
    let network = try makeNetwork(32)
    try measureMeeting(network, rounds: 100)
    try measureIdle(network, count: 1000)
    measureMerging(rounds: 101)
} catch {
    print("measure: \(error)")
    exit(1)
}
