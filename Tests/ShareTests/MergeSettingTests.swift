import Base
import FileTree
import Testing

@testable import Share

/// The share's setting for merging, between members.
struct MergeSettingTests {
    private func devices(_ network: Network) throws -> [Network.Device] {
        let devices = [try network.addDevice("alice"), try network.addDevice("bob")]
        network.connect(devices[1], devices[0])
        network.run()
        try devices[0].write("f.txt", "a\nb\nc\nd\ne\n")
        network.run()
        network.disconnectAll()
        return devices
    }

    private func editApart(_ network: Network, _ devices: [Network.Device]) throws {
        try devices[0].write("f.txt", "A\nb\nc\nd\ne\n")
        network.run(seconds: 1)
        try devices[1].write("f.txt", "a\nb\nc\nd\nE\n")
        network.run(seconds: 1)
        network.connect(devices[1], devices[0])
        network.run()
    }

    private func names(_ device: Network.Device) throws -> Int {
        try device.volume.list(.root).count
    }

    @Test func `a share without rules merges when a member sets them, and what stood apart too`()
        throws
    {
        let network = Network(seed: 1)
        let devices = try devices(network)
        // As in a share from before there were rules.
        try devices[0].volume.setMergeRules(0)
        try editApart(network, devices)
        for device in devices {
            #expect(device.volume.mergeSetting == MergeSetting(rules: 0))
            #expect(try names(device) == 2)
        }
        try devices[1].volume.setMergeRules(1)
        network.run()
        for device in devices {
            #expect(device.volume.mergeSetting == MergeSetting(rules: 1))
            #expect(try device.text("f.txt") == "A\nb\nc\nd\nE\n")
            #expect(try names(device) == 1)
            #expect(device.volume.status().problems == [])
        }
        try devices[0].volume.setMergeRules(0)
        network.run()
        for device in devices { #expect(try names(device) == 2) }
        #expect(devices[0].volume.status().digest == devices[1].volume.status().digest)
    }

    @Test func `rules that a release does not know stop its merging loudly, and stay`() throws {
        let network = Network(seed: 2)
        let devices = try devices(network)
        // A later release sets what this one has never heard of.
        for value in ["2", "999999999999999999999", "by hand"] {
            try devices[0].volume.engine.withLock { engine in
                _ = try engine.author(
                    .set(.init(key: FileTree.mergeRulesSetting, value: Array(value.utf8))))
            }
        }
        try editApart(network, devices)
        for device in devices {
            #expect(!device.volume.mergeSetting.isKnown)
            #expect(try names(device) == 2, "a version was guessed away")
            let problems = device.volume.status().problems
            #expect(problems.contains { $0.contains("until holdfast is updated") })
            #expect(throws: VolumeError.notSupported) { try device.volume.setMergeRules(1) }
            #expect(throws: VolumeError.notSupported) { try device.volume.setMergeRules(0) }
        }
        #expect(devices[0].volume.status().digest == devices[1].volume.status().digest)
        #expect(devices.allSatisfy { $0.volume.status().disagreeing.isEmpty })
    }

    @Test func `nobody sets rules that the release does not know`() throws {
        let network = Network(seed: 3)
        let device = try network.addDevice("alice")
        #expect(throws: VolumeError.notSupported) { try device.volume.setMergeRules(2) }
        #expect(device.volume.mergeSetting == MergeSetting(rules: 1))
    }
}
