import Base
import Chunks
import Host
import Share
import Store

/// Verifies packs, logs and view of one share against each other.
struct ShareCheck {
    let volume: ShareVolume
    let packs: PackStore
    let folder: ShareFolder

    func run() throws(StorageError) -> CheckReport {
        var report = try checkView()
        report.problems += try verifyPacks().problems
        return report
    }

    /// Drops damaged chunks, puts damaged packs aside, makes the view again from the logs, and with
    /// it the list of chunks to fetch.
    ///
    /// - Returns: what was put aside, a line each.
    func rebuild() throws(StorageError) -> [String] {
        try packs.discard(try verifyPacks().damaged)
        let aside = try packs.setDamagedAside()
        try volume.rebuildView()
        return aside.map {
            "packs/\($0) is what was damaged; what could be read of it is kept, and what is missing"
                + " is fetched from other members when there are any"
        }
    }

    private func verifyPacks() throws(StorageError) -> PackReport {
        let cipher = ChunkCipher(volume.keys.contentKeys)
        return try packs.verify { reference, plaintext in
            cipher.verify(plaintext, as: reference)
        }
    }

    /// The logs are replayed into a scratch database, which is gone again afterwards.
    private func checkView() throws(StorageError) -> CheckReport {
        let scratch = try folder.openScratch(.check)
        defer { folder.removeScratch(.check) }
        return try volume.check(scratch: scratch)
    }
}

extension CheckReport {
    /// For people.
    ///
    /// - Throws: with `integrity` if anything is damaged.
    func lines() throws(CommandFailure) -> [String] {
        guard problems.isEmpty else {
            throw CommandFailure(
                .integrity,
                problems.map { EscapedText.escaped($0) }.joined(separator: "\nholdfast: "))
        }
        let awaited =
            awaitedChunks == 0
            ? []
            : [
                "\(awaitedChunks) of the chunks are not here: files with them cannot be read whole"
                    + " until a member that has them was connected"
            ]
        return [
            "\(blocks) log blocks, \(chunks) chunks in use, \(files) files: all is well",
            "digest of the view: \(digest)",
        ] + awaited
    }
}
