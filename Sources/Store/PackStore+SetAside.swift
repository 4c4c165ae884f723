package import Base
internal import Chunks
internal import Glibc
internal import Synchronization

extension PackStore {
    /// Moves what can be read out of packs that were found damaged, and puts their files aside under
    /// another name: chunks that were in them and are in no other pack are not here any more, and can
    /// be fetched again. Whatever else is in the files is nothing to this program, but may be to
    /// somebody who wants it back.
    ///
    /// - Returns: the names that the files have now.
    package func setDamagedAside() throws(StorageError) -> [String] {
        try collection.withLock { _ throws(StorageError) in
            let names = index.withLock { $0.damagedPacks.sorted { $0.sequence < $1.sequence } }
            for name in names {
                try moveReadable(of: name)
                let data = dataName(of: name)
                for name in [name.fileName, data].compactMap({ $0 }) {
                    try directory.rename(name, to: name + Self.asideEnding)
                }
            }
            try directory.sync()
            index.withLock { index in
                index.damagedPacks = []
                index.damages = []
            }
            return names.map { $0.fileName + Self.asideEnding }
        }
    }

    private static let asideEnding = ".damaged"

    /// The file with the payloads of a pack, if that is another, and no other pack's too.
    private func dataName(of name: PackName) -> String? {
        // One that cannot tell has none that could be found.
        guard let file = try? PackFile.open(name, in: directory), let data = file.adopted?.data
        else {
            return nil
        }
        let isUsed = index.withLock { index in
            index.packs.contains { $0?.data == data && $0?.name != name }
        }
        return isUsed ? nil : DataName(sequence: data).fileName
    }

    private func moveReadable(of name: PackName) throws(StorageError) {
        let place = index.withLock { index in index.packs.firstIndex { $0?.name == name } }
        // One whose beginning is damaged was never taken up.
        guard let place else { return }
        let file = PackFile(try directory.file(name.fileName, O_RDONLY))
        let size = try file.descriptor.size()
        let pack = OpenPack(place: place, name: name, size: size, file: file)
        let entries = try file.scan(size: size, checkedFrom: .max)
        for entry in entries {
            // What cannot be read is what is left behind.
            do throws(StorageError) { _ = try move(entry, from: pack) } catch .corrupt {}
        }
        try sync()
        index.withLock { $0.forget(entries, of: place) }
    }
}
