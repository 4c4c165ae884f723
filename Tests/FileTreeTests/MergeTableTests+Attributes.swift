import Base
import FileTree
import Testing

/// The rows about modes, owners, times and extended attributes.
extension MergeTableTests {
    @Test func `26: a mode, an attribute and a write all hold`() throws {
        let (a, b) = try meet(
            after: { try $0.write("f", "old") },
            { device in
                let object = try device.node("f").object
                try device.author(
                    .setAttribute(.init(object: object, mode: 0o600)), wall: Device.wall)
                try device.author(
                    .setXattr(.init(object: object, name: [120], value: [1])), wall: Device.wall)
            }, { try $0.write("f", "new", wall: later) })
        let node = try a.node("f")
        #expect(try a.tree.attributes(of: node.id)?.mode == 0o600)
        #expect(try a.tree.xattr([120], of: node.id) == [1])
        #expect(try b.text("f") == "new")
    }

    @Test func `25: later modes, owners and attributes win one by one`() throws {
        func set(
            _ change: @escaping (ObjectID) -> Operation.SetAttribute, _ wall: UInt64
        ) -> (Device) throws -> Void {
            { device in
                let change = change(try device.node("f").object)
                try device.author(.setAttribute(change), wall: wall)
            }
        }
        let (a, b) = try meet(
            after: { try $0.write("f", "old") },
            set({ .init(object: $0, mode: 0o600, uid: 1) }, Device.wall),
            set({ .init(object: $0, mode: 0o640, gid: 2) }, later))
        for device in [a, b] {
            let attributes = try device.tree.attributes(of: device.node("f").id)
            #expect(attributes?.mode == 0o640)
            #expect(attributes?.uid == 1)
            #expect(attributes?.gid == 2)
        }
    }

    @Test func `25: of extended attributes the later wins for each name`() throws {
        func set(_ name: UInt8, _ value: UInt8?, _ device: Device, _ wall: UInt64) throws {
            let object = try device.node("f").object
            try device.author(
                value.map { .setXattr(.init(object: object, name: [name], value: [$0])) }
                    ?? .removeXattr(.init(object: object, name: [name])), wall: wall)
        }
        let (a, b) = try meet(
            after: { device in
                try device.write("f", "old")
                for name in [UInt8](97...100) { try set(name, 0, device, Device.wall) }
            },
            { device in
                try set(97, 1, device, Device.wall)
                try set(98, 1, device, Device.wall)
                try set(99, nil, device, Device.wall)
                try set(100, nil, device, Device.wall)
                try set(101, 1, device, Device.wall)
            },
            { device in
                try set(97, 2, device, later)
                try set(98, nil, device, later)
                try set(99, 2, device, later)
                try set(102, 2, device, later)
            })
        for device in [a, b] {
            let file = try device.node("f").id
            let values = try [UInt8](97...102).map { try device.tree.xattr([$0], of: file) }
            #expect(values == [[2], nil, [2], nil, [1], [2]])
        }
    }

    @Test func `27: times and attributes do not save a deleted file`() throws {
        let (a, _) = try meet(
            after: { try $0.write("f", "old") }, { try $0.remove("f") },
            { device in
                let object = try device.node("f").object
                try device.author(
                    .setAttribute(.init(object: object, modified: .epoch)), wall: later)
                try device.author(
                    .setXattr(.init(object: object, name: [120], value: [])), wall: later)
                try device.author(.setAttribute(.init(object: object, mode: 0o600)), wall: later)
            })
        #expect(try a.paths() == [])
    }
}
