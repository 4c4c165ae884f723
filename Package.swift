// swift-tools-version: 6.2
import PackageDescription

/// Strict settings for everything we write: unsafe code is marked, warnings are errors,
/// imports say what they expose.
let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    // Whether two accesses to a class's property overlap is checked while tests run, and by the compiler
    // always. In a release the checks while running were a quarter of what a metadata call cost.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

/// Tests: the same, but the testing macros trip strict memory safety. And where C modules are in play the
/// order in which the compiler meets them decides which of two is said to define `stat`.
let testingLoosely: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableExperimentalFeature("Lifetimes"),
]
let testing = testingLoosely + [.enableUpcomingFeature("MemberImportVisibility")]

func source(_ name: String, _ dependencies: [String], path: String? = nil) -> Target {
    .target(
        name: name, dependencies: dependencies.map { .byName(name: $0) }, path: path,
        swiftSettings: strict)
}

func tests(
    _ name: String, _ dependencies: [String], resources: [Resource] = [],
    settings: [SwiftSetting] = testing
) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies.map { .byName(name: $0) },
        resources: resources, swiftSettings: settings)
}

let package = Package(
    name: "holdfast",
    products: [.executable(name: "holdfast", targets: ["holdfast"])],
    targets: [
        // Ground
        .systemLibrary(
            name: "CSodium", path: "Sources/CSodium", pkgConfig: "libsodium",
            providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(
            name: "CSQLite", path: "Sources/CSQLite", pkgConfig: "sqlite3",
            providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(
            name: "CFuse3", path: "Mount/CFuse3", pkgConfig: "fuse3",
            providers: [.apt(["libfuse3-dev"])]),
        .systemLibrary(name: "CLinux", path: "Sources/CLinux"),
        source("Base", []),
        source("Wire", ["Base"]),
        source("Crypto", ["Base", "CSodium"]),
        // Floor 1
        source("Noise", ["Base", "Wire", "Crypto"]),
        source("Protomux", ["Base", "Wire"]),
        source("UDX", ["Base", "Wire"]),
        source("DHT", ["Base", "Wire", "Crypto", "Noise"]),
        // Bytes in, bytes out. FileTree says what is to be merged by which rules, and never sees the
        // bytes; Share has them, and does the work.
        source("TextMerge", []),
        // Floor 2
        source("Hypercore", ["Base", "Wire", "Crypto", "Protomux"]),
        source("Chunks", ["Base", "Wire", "Crypto", "Protomux"]),
        source("FileTree", ["Base", "Wire", "Crypto", "TextMerge"]),
        source("Swarm", ["Base", "Wire", "Crypto", "Noise", "Protomux", "UDX", "DHT"]),
        // Floor 3
        source(
            "Share",
            [
                "Base", "Wire", "Crypto", "Noise", "Protomux", "Hypercore", "Chunks", "FileTree",
                "Swarm", "TextMerge",
            ]),
        // Floor 4
        source(
            "Store",
            [
                "Base", "Wire", "Crypto", "Hypercore", "Chunks", "FileTree", "Share", "CSQLite",
                "CLinux",
            ]),
        source(
            "Host",
            ["Base", "Wire", "Crypto", "Noise", "UDX", "DHT", "Swarm", "Share", "CLinux"]),
        source("TreeModel", ["Base", "Crypto", "Chunks", "FileTree"]),
        source(
            "Simulation",
            [
                "Base", "Wire", "Crypto", "Noise", "UDX", "DHT", "Hypercore", "Chunks", "FileTree",
                "Swarm", "Share", "TreeModel",
            ]),
        // Floor 5
        source(
            "FuseMount", ["Base", "Chunks", "FileTree", "Share", "CFuse3"],
            path: "Mount/FuseMount"),
        // Floor 6
        .executableTarget(
            name: "holdfast",
            dependencies: [
                "Base", "Wire", "Crypto", "Noise", "Hypercore", "Chunks", "FileTree", "DHT",
                "Swarm", "Share", "Store", "Host", "FuseMount", "CLinux",
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "simulate", dependencies: ["Base", "Simulation"], swiftSettings: strict),
        .executableTarget(
            name: "measure",
            dependencies: [
                "Base", "Wire", "Crypto", "Noise", "DHT", "Swarm", "Chunks", "Share", "Store",
                "Host", "TextMerge",
            ],
            swiftSettings: strict),
        // Tests
        tests("Base", ["Base"]),
        tests("Wire", ["Base", "Wire"], resources: [.copy("Vectors")]),
        tests("Crypto", ["Base", "Crypto"], resources: [.copy("Vectors")]),
        tests("Noise", ["Base", "Crypto", "Noise"], resources: [.copy("Vectors")]),
        tests("Protomux", ["Base", "Wire", "Protomux"], resources: [.copy("Vectors")]),
        tests("UDX", ["Base", "Wire", "UDX", "Simulation"], resources: [.copy("Vectors")]),
        tests(
            "DHT", ["Base", "Wire", "Crypto", "Noise", "DHT", "Simulation"],
            resources: [.copy("Vectors")]),
        tests("Simulation", ["Base", "Wire", "UDX", "DHT", "FileTree", "Simulation", "TreeModel"]),
        tests(
            "Hypercore", ["Base", "Wire", "Crypto", "Protomux", "Hypercore"],
            resources: [.copy("Vectors")]),
        tests("Chunks", ["Base", "Wire", "Crypto", "Protomux", "Chunks"]),
        tests("FileTree", ["Base", "Wire", "Crypto", "FileTree", "TextMerge", "TreeModel"]),
        tests("TextMerge", ["Base", "TextMerge", "TreeModel"], resources: [.copy("Golden")]),
        tests("Swarm", ["Base", "Wire", "Crypto", "Noise", "DHT", "Swarm"]),
        tests(
            "Share",
            [
                "Base", "Wire", "Crypto", "Noise", "Protomux", "Hypercore", "Chunks", "FileTree",
                "Swarm", "Share", "TextMerge",
            ]),
        tests(
            "Store",
            ["Base", "Wire", "Crypto", "Hypercore", "Chunks", "FileTree", "Share", "Store"]),
        tests("Host", ["Base", "Wire", "Crypto", "Noise", "UDX", "DHT", "Share", "Swarm", "Host"]),
        tests(
            "FuseMount", ["Base", "Chunks", "FileTree", "Share", "FuseMount"],
            settings: testingLoosely),
        tests("Command", ["Base", "Wire", "Crypto", "Swarm", "Share", "Host", "holdfast"]),
        .executableTarget(
            name: "interop-peer",
            dependencies: [
                "Base", "Wire", "Crypto", "Noise", "Protomux", "Hypercore", "DHT", "Swarm", "Host",
            ],
            path: "Tests/InteropPeer", swiftSettings: testing),
        .executableTarget(
            name: "recording-disk", dependencies: ["Base", "CFuse3", "CLinux"],
            path: "Tests/RecordingDisk", swiftSettings: testing),
        tests(
            "EndToEnd",
            [
                "Base", "Wire", "Crypto", "Noise", "Protomux", "Share", "CLinux", "holdfast",
                "recording-disk",
            ]),
    ]
)
