/// Every command with its arguments and options: the one source of parsing and of help.
enum CommandTable {
    static let commands: [CommandSpecification] = [
        CommandSpecification(
            name: .create, summary: "make a new share and mount it; prints its invite link",
            arguments: [mountPoint("an empty folder, in which the share appears")],
            options: [shareName] + serving,
            details: [
                "The last line of standard output is the invite link. Whoever has it can read "
                    + "the share and write to it: pass it on as you would a key."
            ]),
        CommandSpecification(
            name: .join, summary: "join a share by its invite link and mount it",
            arguments: [
                ArgumentSpecification(
                    name: "LINK", isRequired: true,
                    help: "the invite link; - reads it from standard input, which other users of "
                        + "this machine cannot see"),
                mountPoint("an empty folder, in which the share appears"),
            ],
            options: serving,
            details: [
                "Files appear as soon as a device that has them can be reached; until then the "
                    + "folder stays empty, and the daemon goes on looking."
            ]),
        CommandSpecification(
            name: .mount, summary: "mount a share that this device already has",
            arguments: [mountPoint("where the share was mounted before")],
            options: serving,
            details: [
                "Options that are not given stay as they were the last time; how the share is "
                    + "shown (\(MountFlag.words)) holds for one mount."
            ]),
        CommandSpecification(
            name: .unmount, summary: "end a mount cleanly: everything is on disk when it returns",
            arguments: [mountPoint("where the share is mounted")], options: common,
            details: [
                "If the daemon is gone and the mount was left behind, the mount is taken away."
            ]),
        CommandSpecification(
            name: .invite, summary: "print an invite link for a mounted share",
            arguments: [mountPoint("where the share is mounted")], options: common,
            details: [
                "The link is the last line of standard output. Whoever has it can read the share "
                    + "and write to it."
            ]),
        CommandSpecification(
            name: .status, summary: "show how a share is doing, or all of this device's shares",
            arguments: [optionalMountPoint], options: [json] + common,
            details: [
                "With --json: one object a line, one line a share, with the keys share, name, "
                    + "device, mountpoint, transport, running, paused, peers, clock, digest, "
                    + "pending (blocks, chunks, bytes), files, bytes, refused and conflicts. "
                    + "Devices with equal digests show the same."
            ]),
        CommandSpecification(
            name: .peers, summary: "show the devices that a share is connected to",
            arguments: [mountPoint("where the share is mounted")], options: [json] + common,
            details: [
                "With --json: an array of objects with the keys device, key, address, state, "
                    + "bytesSent and bytesReceived."
            ]),
        CommandSpecification(
            name: .pause, summary: "stop syncing; the mount goes on working",
            arguments: [mountPoint("where the share is mounted")], options: common),
        CommandSpecification(
            name: .resume, summary: "start syncing again",
            arguments: [mountPoint("where the share is mounted")], options: common),
        CommandSpecification(
            name: .log, summary: "show who changed what, and when, newest first",
            arguments: [
                ArgumentSpecification(
                    name: "PATH", isRequired: false,
                    help: "a file or folder in a mounted share; without it, the whole share that "
                        + "the current folder is in")
            ],
            options: [json, limit] + common,
            details: [
                "With --json: an array of objects with the keys time, device, operation, path and "
                    + "detail."
            ]),
        CommandSpecification(
            name: .check, summary: "verify that what is stored of a share is whole and agrees",
            arguments: [
                ArgumentSpecification(
                    name: "MOUNTPOINT|STATE", isRequired: true,
                    help: "where the share is mounted when it is, or its folder in the state")
            ],
            options: [
                OptionSpecification(
                    name: "rebuild", value: .flag,
                    help: "make the view again from the logs")
            ] + common,
            details: ["Ends with 7 if anything is damaged; says what, and what to do."]),
        CommandSpecification(
            name: .help, summary: "show this overview, or all about one command",
            arguments: [
                ArgumentSpecification(
                    name: "COMMAND", isRequired: false, help: "the command to tell about")
            ],
            options: common),
    ]

    static func command(_ name: CommandName) -> CommandSpecification {
        // Each name has its row; `CommandTableTests` counts them.
        guard let found = commands.first(where: { $0.name == name }) else {
            preconditionFailure("no row for \(name)")
        }
        return found
    }

    static let home = OptionSpecification(
        name: "home", value: .text("FOLDER"),
        help: "where this device keeps its key and its shares; default: "
            + "$XDG_DATA_HOME/holdfast or ~/.local/share/holdfast")

    static let json = OptionSpecification(
        name: "json", value: .flag, help: "print JSON, for programs")

    static let limit = OptionSpecification(
        name: "limit", value: .count("COUNT", 1...100_000),
        help: "show so many operations at most; default: 100")

    private static let shareName = OptionSpecification(
        name: "name", value: .text("NAME"),
        help: "what the share is called; default: the name of the folder")

    /// Of every command.
    private static let common = [home]

    /// Of the commands that start a daemon.
    private static let serving = [
        OptionSpecification(
            name: "transport", value: .choice("NAME", ["direct", "disabled"]),
            help: "how to reach other devices: direct (TCP to the addresses of --peer and of the "
                + "link) or disabled (not at all); default: direct"),
        OptionSpecification(
            name: "peer", value: .address("HOST:PORT", allowsAnyPort: false),
            help: "where another device can be reached; may be given several times",
            isRepeatable: true),
        OptionSpecification(
            name: "listen", value: .address("HOST:PORT", allowsAnyPort: true),
            help: "where to accept connections, port 0 for any free one; default: all "
                + "addresses of this machine, any free port"),
        OptionSpecification(
            name: "device-name", value: .text("NAME"),
            help: "what others see this device called; default: the name of this machine"),
        OptionSpecification(
            name: "foreground", value: .flag,
            help: "stay in the terminal instead of going on as a daemon"),
        MountFlag.readOnly.option, MountFlag.allowOther.option, MountFlag.suid.option,
        MountFlag.dev.option,
        OptionSpecification(
            name: "source", value: .text("NAME"),
            help: "what mount and df show as the source, as /etc/fstab needs; default: holdfast"),
        home,
    ]

    private static func mountPoint(_ help: String) -> ArgumentSpecification {
        ArgumentSpecification(name: "MOUNTPOINT", isRequired: true, help: help)
    }

    private static let optionalMountPoint = ArgumentSpecification(
        name: "MOUNTPOINT", isRequired: false,
        help: "where the share is mounted; without it, all shares of this device")
}
