import Host

/// How mount(8) calls a helper: `mount.fuse.holdfast SOURCE DIR [-sfnvrw] [-N NAMESPACE] [-t TYPE]
/// [-o OPTIONS]`.
struct MountHelperCall: Equatable {
    /// How mount(8) would have it begin; the name that the program is called by, or its first word.
    static let prefix = "mount."

    var source = ""
    var directory = ""
    /// Without commas.
    var options: [String] = []
    /// Everything but the mount is done.
    var isFake = false
    /// Unknown options are passed over.
    var isSloppy = false

    /// - Parameter words: without the helper's name.
    init(_ words: [String]) throws(CommandFailure) {
        var rest = words[...]
        var places: [String] = []
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word != "-" else {
                places.append(word)
                continue
            }
            var letters = word.dropFirst()
            while let letter = letters.popFirst() {
                switch letter {
                case "f": isFake = true
                case "s": isSloppy = true
                // What is mounted is in the kernel's table only; there is nothing more to tell.
                case "n", "v": break
                case "r": options.append("ro")
                case "w": options.append("rw")
                case "o", "t", "N":
                    let value = letters.isEmpty ? rest.popFirst() : String(letters)
                    letters = ""
                    guard let value else {
                        throw CommandFailure(.usage, "-\(letter) needs a value: \(Self.usage)")
                    }
                    if letter == "N" {
                        throw CommandFailure(
                            .usage,
                            "other namespaces cannot be mounted in: run mount inside, as with "
                                + "nsenter(1)")
                    }
                    if letter == "o" { options += Self.split(value) }
                default:
                    throw CommandFailure(
                        .usage,
                        "unknown option \(EscapedText.quoted("-\(letter)")): \(Self.usage)")
                }
            }
        }
        guard places.count == 2, !places.contains("") else {
            throw CommandFailure(.usage, Self.usage)
        }
        source = places[0]
        directory = places[1]
    }

    private static let usage = "usage: mount.fuse.holdfast SHARE FOLDER [-o OPTIONS]"

    /// At the commas; not at those in double quotes or behind a backslash, as in fstab(5) and fuse(8).
    private static func split(_ text: String) -> [String] {
        var options: [String] = []
        var option = ""
        var isQuoted = false
        var isEscaped = false
        for character in text {
            if isEscaped {
                option.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                isQuoted.toggle()
            } else if character == ",", !isQuoted {
                options.append(option)
                option = ""
            } else {
                option.append(character)
            }
        }
        return (options + [option]).filter { !$0.isEmpty }
    }
}
