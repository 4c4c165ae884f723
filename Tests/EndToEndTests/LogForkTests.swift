import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// A device's state folder copied: restored from a backup, or at work in two places.
    struct LogForkTests {
        @Test func `a copied state folder runs beside its original, and neither loses a byte`()
            throws
        {
            try Place.use(.seconds(120)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write("base", to: "base")
                try pair.converge()
                try pair.bob.unmount()
                let clone = try clone(pair.bob, as: "carol", in: place)
                try pair.bob.mount()
                try pair.bob.write("bob's", to: "from bob")
                try pair.bob.write("bob's edit", to: "base")
                try pair.converge()
                // The clone meets nobody before it has written.
                for device in pair.both { try device.pause() }
                try clone.mount()
                for index in 0..<20 { try clone.write("\(index)", to: "from the clone \(index)") }
                for device in pair.both { try device.resume() }
                let all = [pair.alice, pair.bob, clone]
                try Devices.converge(all, within: .seconds(60))
                for device in all {
                    #expect(device.read("from bob") == Array("bob's".utf8))
                    for index in 0..<20 {
                        #expect(device.read("from the clone \(index)") == Array("\(index)".utf8))
                    }
                    #expect(device.names().count == 22)
                }
                #expect(try clone.status().forks?.map(\.isSettled) == [true])
                #expect(try clone.status().device == "carol 2")
                try clone.write("after", to: "later")
                try pair.bob.write("after", to: "later too")
                try Devices.converge(all, within: .seconds(60))
                for device in all { try device.check() }
            }
        }

        @Test func `a restored backup takes back what its peers have`() throws {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                try pair.bob.write("old", to: "old")
                try pair.converge()
                try pair.bob.unmount()
                try place.shell("cp -a '\(pair.bob.home)' '\(pair.bob.home).backup'")
                try pair.bob.mount()
                for index in 0..<30 { try pair.bob.write("\(index)", to: "later \(index)") }
                try pair.converge()
                try pair.bob.unmount()
                try place.shell(
                    "rm -r '\(pair.bob.home)' && mv '\(pair.bob.home).backup' '\(pair.bob.home)'")
                try pair.bob.mount()
                try pair.converge()
                #expect(pair.bob.read("later 7") == Array("7".utf8))
                try pair.bob.write("new", to: "new")
                try pair.converge()
                #expect(try pair.bob.status().forks?.isEmpty == true)
                #expect(pair.alice.read("new") == Array("new".utf8))
            }
        }

        /// Another installation with everything that this one has, its keys included.
        private func clone(_ device: Device, as name: String, in place: Place) throws -> Device {
            let clone = Device(name, in: place)
            try place.shell("cp -a '\(device.home)/.' '\(clone.home)'")
            try place.shell(
                "sed -i 's,\(device.mountPoint)\",\(clone.mountPoint)\",;s,:\(device.port)\",:\(clone.port)\",'"
                    + " '\(clone.home)'/shares/*/share.json")
            return clone
        }
    }
}
