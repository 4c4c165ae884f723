package import Base
package import Crypto
internal import FoundationEssentials
internal import Glibc

/// This installation of Holdfast: its key, and a name that people see.
package struct Device: Sendable {
    package let keyPair: KeyPair
    package var name: String
}

/// Where Holdfast keeps everything it knows, mode 0700.
///
///     device.key       the seed of the device's key pair, 64 hexadecimal digits; mode 0600
///     device.json      the device's name
///     shares/<id>/     one folder a share: see `ShareFolder`
package final class StateFolder: Sendable {
    private static let keyName = "device.key"
    private static let settingsName = "device.json"
    private static let sharesName = "shares"

    private let directory: Directory
    package var path: String { directory.path }

    /// `$HOLDFAST_HOME`, else `$XDG_DATA_HOME/holdfast`, else `~/.local/share/holdfast`.
    package static func path(environment: [String: String]) throws(StateError) -> String {
        if let home = environment["HOLDFAST_HOME"], !home.isEmpty {
            guard home.hasPrefix("/") else { throw .noHome }
            return MountPoint.normalized(home)
        }
        // Its specification has relative paths ignored.
        if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") {
            return MountPoint.normalized(data + "/holdfast")
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { throw .noHome }
        return MountPoint.normalized(home + "/.local/share/holdfast")
    }

    /// Opens the folder, making it and those above it if need be.
    package init(path: String) throws(StateError) {
        directory = try storing { () throws(StorageError) in try Directory(creating: path) }
    }

    // MARK: Device

    /// - Returns: nil before `makeDevice`.
    package func device() throws(StateError) -> Device? {
        guard let seed = try directory.secret(Self.keyName) else { return nil }
        return Device(keyPair: KeyPair(seed: seed), name: try deviceName() ?? "")
    }

    /// Makes this device's key, once and for ever.
    ///
    /// - Throws: `exists` if there is one.
    package func makeDevice(named name: String, using random: inout some RandomNumberGenerator)
        throws(StateError) -> Device
    {
        let pair = KeyPair(using: &random)
        try setDeviceName(name)
        try directory.createSecret(Self.keyName, pair.seed)
        return Device(keyPair: pair, name: name)
    }

    package func setDeviceName(_ name: String) throws(StateError) {
        try directory.replaceJSON(Self.settingsName, with: DeviceSettings(name: name))
    }

    private struct DeviceSettings: Codable {
        var name: String
    }

    private func deviceName() throws(StateError) -> String? {
        try directory.json(
            Self.settingsName, as: DeviceSettings.self,
            remedy: "correct it, or remove it and set the name again")?.name
    }

    // MARK: Shares

    /// The folders of all shares, by id.
    package func shares() throws(StateError) -> [ShareFolder] {
        var folders: [ShareFolder] = []
        let shares = try sharesDirectory()
        let names = try storing { () throws(StorageError) in try shares.names() }
        for name in names where ShareFolder.isID(name) {
            folders.append(try share(name, in: shares))
        }
        return folders
    }

    /// - Throws: `missing` if there is no such share here.
    package func share(_ id: String) throws(StateError) -> ShareFolder {
        try share(id, in: sharesDirectory())
    }

    /// Makes the folder of a new share, with its key and its settings.
    ///
    /// - Parameter deviceKey: for a device of its own, that may stand beside another one of the same share.
    /// - Throws: `exists` if the share is here already.
    package func makeShare(
        _ shareID: String, key: Bytes32, settings: ShareSettings, deviceKey: Bytes32? = nil
    ) throws(StateError) -> ShareFolder {
        precondition(ShareFolder.isID(shareID), "share id \(shareID)")
        let shares = try sharesDirectory()
        var id = shareID
        if deviceKey != nil {
            let known = try self.shares().filter { $0.shareID == shareID }
            var number = known.count + 1
            while known.contains(where: { $0.id == id }) {
                id = "\(shareID)r\(number)"
                number += 1
            }
        }
        let isHere = try storing { () throws(StorageError) in
            try shares.existingFile(id, O_RDONLY | O_DIRECTORY) != nil
        }
        guard !isHere else { throw .exists(file: "\(shares.path)/\(id)") }
        // Under another name until it is complete; what a crash left of an earlier try goes.
        let temporary = "\(id).new"
        let folder = try storing { () throws(StorageError) in
            let directory = try shares.directory(temporary, create: true)
            try directory.removeContents()
            return ShareFolder(id: id, in: directory)
        }
        try folder.setSettings(settings)
        try folder.createKey(key)
        if let deviceKey { try folder.createDeviceKey(deviceKey) }
        do throws(StorageError) {
            try shares.rename(temporary, to: id)
            try shares.sync()
        } catch {
            throw .storage(error)
        }
        return try share(id, in: shares)
    }

    /// The share that is mounted at a path, or at one above it; the deepest.
    ///
    /// - Returns: nil if there is none.
    /// - Throws: if none was found and a share's settings could not be read.
    package func share(mountedAt path: String) throws(StateError) -> ShareFolder? {
        let wanted = MountPoint.normalized(path)
        var found: (folder: ShareFolder, depth: Int)?
        var failure: StateError?
        for folder in try shares() {
            do throws(StateError) {
                let mountPoint = MountPoint.normalized(try folder.settings().mountPoint)
                let depth = mountPoint.utf8.count
                if MountPoint.contains(mountPoint, wanted), depth > found?.depth ?? 0 {
                    found = (folder, depth)
                }
            } catch {
                failure = failure ?? error
            }
        }
        if found == nil, let failure { throw failure }
        return found?.folder
    }

    private func sharesDirectory() throws(StateError) -> Directory {
        try storing { () throws(StorageError) in
            try directory.directory(Self.sharesName, create: true)
        }
    }

    private func share(_ id: String, in shares: Directory) throws(StateError) -> ShareFolder {
        guard ShareFolder.isID(id) else {
            throw .missing(file: "\(shares.path)/\(id)", remedy: "`holdfast list` shows the shares")
        }
        do throws(StorageError) {
            return ShareFolder(id: id, in: try shares.directory(id))
        } catch .io(ENOENT, _) {
            throw .missing(file: "\(shares.path)/\(id)", remedy: "`holdfast list` shows the shares")
        } catch {
            throw .storage(error)
        }
    }
}

/// Paths of mount points, compared as text: asking the kernel about a dead mount can hang.
enum MountPoint {
    /// An absolute path without empty, `.` and `..` parts.
    static func normalized(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    /// Whether a normalized path is a mount point or lies below it.
    static func contains(_ mountPoint: String, _ path: String) -> Bool {
        path == mountPoint || path.hasPrefix(mountPoint == "/" ? "/" : mountPoint + "/")
    }
}
