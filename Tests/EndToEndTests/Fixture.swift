import Foundation
import Testing

/// A tree to copy about: a cross-section of this machine's /usr, and what /usr does not have.
enum Fixture {
    /// Makes the tree at `folder`, which must not exist.
    ///
    /// - Parameters:
    ///   - files: about how many files and symbolic links to take from /usr.
    ///   - bytes: about how many bytes; large files are added until there are as many.
    static func make(_ folder: String, files: Int, bytes: Int, in place: Place) throws {
        let candidates = try place.shell(
            #"find /usr -xdev \( -type f -size -1024k -o -type l \) -printf '%s\t%P\n'"#)
        let smallest = rows(candidates).sorted { $0.name < $1.name }
        // One in so many, over the whole of it.
        let stride = max(1, smallest.count / files)
        var chosen = smallest.enumerated().filter { $0.offset % stride == 0 }.map(\.element)
        chosen = Array(chosen.prefix(files))
        var total = chosen.reduce(0) { $0 + $1.size }
        let large = try place.shell(
            #"find /usr -xdev -type f -size +1024k -size -65536k -printf '%s\t%P\n'"#)
        for row in rows(large).sorted(by: { ($0.size, $0.name) > ($1.size, $1.name) })
        where total + row.size <= bytes {
            chosen.append(row)
            total += row.size
        }
        let list = chosen.map { $0.name + "\0" }.joined()
        try list.write(toFile: "\(place.path)/list", atomically: false, encoding: .utf8)
        try place.shell(
            """
            mkdir '\(folder)'
            tar -C /usr --null --no-recursion -T '\(place.path)/list' -cf - | tar -C '\(folder)' -xpf -
            rm '\(place.path)/list'
            """, within: .seconds(180))
        try place.shell(oddities, in: folder)
    }

    private static func rows(_ listing: String) -> [(size: Int, name: String)] {
        listing.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t", maxSplits: 1)
            guard fields.count == 2, let size = Int(fields[0]) else { return nil }
            return (size, String(fields[1]))
        }
    }

    /// Links, modes, times, holes and names that real trees have somewhere.
    private static let oddities = #"""
        mkdir odd odd/empty odd/sticky odd/private
        cd odd
        printf 'one file, three names' >name1 && ln name1 name2 && ln name1 empty/../sticky/name3
        ln -s name1 relative && ln -s /nowhere/at/all dangling && ln -s . self
        : >nothing
        printf x >readonly && chmod 0444 readonly
        printf x >secret && chmod 0600 secret
        printf x >setuid && chmod 4755 setuid
        [ "$(id -u)" != 0 ] || { printf x >unreadable && chmod 0000 unreadable; }
        [ "$(id -u)" != 0 ] || { printf x >foreign && chown 1234:5678 foreign; }
        chmod 1777 sticky && chmod 0700 private
        mkfifo pipe
        printf x >'a name with spaces and "quotes"'
        printf x >"$(printf 'two\nlines')"
        printf x >"$(printf 'not \377 text')"
        printf x >'Grüße 日本語 🏡'
        printf x >"$(printf 'n%.0s' $(seq 255))"
        truncate -s 3M hole && printf 'end' >>hole
        printf 'attributes' >tagged && setfattr -n user.colour -v blue tagged
        printf x >past && touch -d '1971-02-03 04:05:06.123456789 UTC' past
        printf x >future && touch -d '2199-02-03 04:05:06.987654321 UTC' future
        mkdir -p a/very/deep/chain/of/folders/one/below/the/other && printf x >a/very/deep/file
        touch -d '2001-01-01 01:01:01.5 UTC' empty a/very
        """#
}
