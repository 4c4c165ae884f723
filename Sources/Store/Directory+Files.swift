internal import Base
internal import CLinux
internal import FoundationEssentials
internal import Glibc

// Secrets and settings: small files, replaced as a whole.
extension Directory {
    private enum FileLimits {
        static let secretSize = 4096
        static let settingsSize = 1 << 20
    }

    /// Opens a directory by its path, making it (mode 0700) and those above it if need be; their names
    /// are durable then.
    convenience init(creating path: String) throws(StorageError) {
        var made = ""
        var above = ""
        for part in path.split(separator: "/") {
            made += "/\(part)"
            // The string outlives the call.
            if unsafe mkdir(made, 0o700) == 0 {
                try Self(path: above.isEmpty ? "/" : above).sync()
            } else if errno != EEXIST, errno != EROFS, errno != EACCES {
                throw .system("making the directory \(made)")
            }
            above = made
        }
        try self.init(path: path)
    }

    /// A secret of 32 bytes, as 64 hexadecimal digits. Nil if there is none.
    ///
    /// - Throws: also if anyone but this user can read it.
    func secret(_ name: String) throws(StateError) -> Bytes32? {
        let file = try storing { () throws(StorageError) in try existingFile(name, O_RDONLY) }
        guard let file else { return nil }
        let status = try storing { () throws(StorageError) in try file.status() }
        guard status.st_mode & 0o077 == 0, status.st_uid == geteuid() else {
            throw .exposed(file: file.path)
        }
        let bytes = try storing { () throws(StorageError) in
            try file.read(FileLimits.secretSize, at: 0)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let secret = Bytes32(hex: text.hasSuffix("\n") ? text.dropLast() : text[...]) else {
            throw .malformed(
                file: file.path, problem: "not 64 hexadecimal digits",
                remedy: "restore it from a backup")
        }
        return secret
    }

    /// - Throws: `exists` rather than replace a secret.
    func createSecret(_ name: String, _ secret: Bytes32) throws(StateError) {
        do throws(StorageError) {
            try create(name, with: Array("\(secret.hex)\n".utf8))
        } catch .io(EEXIST, _) {
            throw .exists(file: "\(path)/\(name)")
        } catch {
            throw .storage(error)
        }
    }

    /// - Returns: nil if there is no such file.
    func json<Value: Decodable>(_ name: String, as type: Value.Type, remedy: String)
        throws(StateError) -> Value?
    {
        let bytes = try storing { () throws(StorageError) in
            try contents(of: name, limit: FileLimits.settingsSize)
        }
        guard let bytes else { return nil }
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw .malformed(
                file: "\(path)/\(name)", problem: Self.problem(error), remedy: remedy)
        }
    }

    func replaceJSON(_ name: String, with value: some Encodable) throws(StateError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let bytes: [UInt8]
        do {
            bytes = try [UInt8](encoder.encode(value)) + Array("\n".utf8)
        } catch {
            throw .malformed(
                file: "\(path)/\(name)", problem: "\(error)", remedy: "choose other values")
        }
        try storing { () throws(StorageError) in try replace(name, with: bytes) }
    }

    private static func problem(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, _): return "\"\(key.stringValue)\" is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context),
            .dataCorrupted(let context):
            let place = context.codingPath.map(\.stringValue).joined(separator: ".")
            return place.isEmpty ? "not the JSON that Holdfast writes" : "\"\(place)\" is wrong"
        @unknown default: return "\(error)"
        }
    }
}
