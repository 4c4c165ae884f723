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
            options: [
                OptionSpecification(
                    name: "anew", value: .flag,
                    help: "as a new device, though this one is or was in the share: after it was "
                        + "revoked or retired; what it has stays where it is")
            ] + serving,
            details: [
                "Files appear as soon as a device that has them can be reached; until then the "
                    + "folder stays empty, and the daemon goes on looking."
            ]),
        CommandSpecification(
            name: .mount, summary: "mount a share that this device already has",
            arguments: [mountPoint("where the share was mounted before")],
            options: [shareToMount] + serving,
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
            arguments: [mountPoint("where the share is mounted")],
            options: [
                OptionSpecification(
                    name: "owner", value: .flag,
                    help: "for another owner, who may revoke and retire devices too; an owner's "
                        + "device gives such links")
            ] + common,
            details: [
                "The link is the last line of standard output. Whoever has it can read the share "
                    + "and write to it."
            ]),
        CommandSpecification(
            name: .status, summary: "show how a share is doing, or all of this device's shares",
            arguments: [optionalMountPoint], options: [json] + common,
            details: [
                "With --json: one object a line, one line a share, with the keys share, name, "
                    + "device, mountpoint, transport, running, paused, peers, problems, clock, digest, "
                    + "pending (blocks, chunks, bytes), files, bytes, refused and conflicts. "
                    + "Devices with equal digests show the same."
            ]),
        CommandSpecification(
            name: .peers, summary: "show the devices that a share is connected to",
            arguments: [mountPoint("where the share is mounted")], options: [json] + common,
            details: [
                "The path says how a device is reached: tcp (an address that was given, or found on "
                    + "the local network), direct, punched (through NATs), LAN or relayed (by way "
                    + "of a third peer, which cannot read it).",
                "With --json: an array of objects with the keys device, key, address, state, path, "
                    + "roundTripMilliseconds (if known), bytesSent and bytesReceived.",
            ]),
        CommandSpecification(
            name: .revoke, summary: "end the membership of a stolen or unwanted device",
            arguments: [member, mountPoint("where the share is mounted")], options: common,
            details: [
                "An owner's device can do this. What this device has of the other one's changes stays; "
                    + "whatever else it writes counts nowhere, and is taken out where it has arrived "
                    + "already. Files made there since are gone from the other devices then, and so is "
                    + "what others did to these; what others saved over its later versions stays.",
                "All invite links end with it, since the device has one: holdfast invite on this device "
                    + "gives new ones. The revoked device still has the share's key, and can read what is "
                    + "written if it reaches another: what it must not read belongs in a new share.",
            ]),
        CommandSpecification(
            name: .retire,
            summary: "end the membership of a device that is lost, broken or given up",
            arguments: [member, mountPoint("where the share is mounted")], options: common,
            details: [
                "An owner's device can do this for any other, and every device for itself. All that any "
                    + "device has of its changes stays; what it alone had, or writes from then on, "
                    + "counts nowhere. Old history is no longer kept for it.",
                "Devices that it has let in stay members if any other one has heard of them: let a new "
                    + "device meet another before the one that let it in is retired.",
                "If it comes back, everything on it can still be read there. To be a member it joins "
                    + "again by a link, as a new device.",
            ]),
        CommandSpecification(
            name: .export,
            summary: "write what a revoked or retired device did and no member takes to a folder",
            arguments: [
                ArgumentSpecification(
                    name: "MOUNTPOINT|STATE", isRequired: true,
                    help: "where the share is mounted when it is, or its folder in the state")
            ],
            options: [
                OptionSpecification(
                    name: "to", value: .text("FOLDER"),
                    help:
                        "an ordinary folder outside the share, made if it is not there; nothing in "
                        + "it is replaced: what finds its name taken is put beside it, as NAME "
                        + "(exported)"),
                OptionSpecification(
                    name: "device", value: .text("DEVICE"),
                    help: "only what the blocks of this device hold: its name, or the first digits "
                        + "of its key"),
                OptionSpecification(
                    name: "dry-run", value: .flag, help: "only list what there is; without --to"),
                json,
            ] + common,
            details: [
                "On a device that is no member any more: the files and folders that only it has, as its "
                    + "mount shows them, and those that the others have with other bytes. On a member: "
                    + "the same of a device that is gone, as far as it had come here; the bytes are kept as "
                    + "holdfast retain says, like those of old versions.",
                "Contents, modes and times of change are written; owners, and what was only renamed or "
                    + "removed, are not. A file that is new to the members is marked so; one that is "
                    + "changed they may have changed too: compare before copying it over theirs.",
                "With --json: an object with the keys logs (device, log, blocks), items (path, kind, "
                    + "device, state, size, modified, outcome, writtenAs, problem), unlisted, files, "
                    + "folders, bytes, present, missing, failed and unreadBlocks.",
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
                "A write makes a version of a file: its VERSION is what holdfast restore takes, and "
                    + "DETAIL says whether it is what the file shows now. PATH is where a thing "
                    + "is now, or was last; of a place, the name that it was given.",
                "With --json: an array of objects with the keys time, device, operation, path, "
                    + "detail, and of a write version and state (shown, copy, closed or empty).",
            ]),
        CommandSpecification(
            name: .restore, summary: "bring back an earlier version, or what was removed",
            arguments: [
                ArgumentSpecification(
                    name: "PATH", isRequired: true,
                    help: "a file or folder in a mounted share; it may be gone")
            ],
            options: [
                OptionSpecification(
                    name: "version", value: .text("VERSION"),
                    help: "of a file, as holdfast log shows it"),
                OptionSpecification(
                    name: "at", value: .text("TIME"),
                    help: "as it was then: 2026-11-21T14:00 (UTC), @SECONDS since 1970, or 90m, 2h "
                        + "or 3d ago"),
                OptionSpecification(
                    name: "to", value: .text("PATH"),
                    help: "put it there, in the same share, instead of where it was"),
                json,
            ] + common,
            details: [
                "Nothing that is there now is removed: a file gets a new version, and what was made "
                    + "since stays. What another thing has the name of is put beside it, as "
                    + "NAME (restored).",
                "The bytes of old versions are kept as holdfast retain says.",
            ]),
        CommandSpecification(
            name: .retain, summary: "show or set how long old versions keep their bytes",
            arguments: [mountPoint("where the share is mounted")],
            options: [
                OptionSpecification(
                    name: "all", value: .count("DAYS", 0...100_000),
                    help: "keep every version for so many days; default: 30"),
                OptionSpecification(
                    name: "daily", value: .count("DAYS", 0...100_000),
                    help: "keep the last version of each day for so many days; default: 365"),
                OptionSpecification(
                    name: "space", value: .count("MEGABYTES", 0...1_000_000_000),
                    help:
                        "for old versions, at most, on each device; 0, the default, is a tenth of "
                        + "its disk"),
            ] + common,
            details: [
                "A setting of the share: it holds for all its devices, each of which gives space "
                    + "back once a day."
            ]),
        CommandSpecification(
            name: .merging, summary: "show or set by which rules texts merge",
            arguments: [mountPoint("where the share is mounted")],
            options: [
                OptionSpecification(
                    name: "rules", value: .text("RULES"),
                    help: "a number, newest for the newest that this release knows, or none")
            ] + common,
            details: [
                "A setting of the share: it holds for all its devices. What two of them changed without "
                    + "knowing of each other is merged on each of them by the same rules, to the same "
                    + "bytes; without rules every version shows under a name of its own. No bytes are "
                    + "lost either way, and the setting can be changed back.",
                "A device whose release does not know the rules does not merge: it shows every version "
                    + "until it is updated, and says so in its status. Shares made before there were "
                    + "rules have none.",
            ]),
        CommandSpecification(
            name: .conflicts, summary: "list what devices changed without knowing of each other",
            arguments: [
                ArgumentSpecification(
                    name: "PATH", isRequired: false,
                    help: "a mount point, or a file or folder in a mounted share; without it, the "
                        + "share that the current folder is in")
            ],
            options: [json] + common,
            details: [
                "Ends with 6 if there are conflicts, and with 0 if there are none.",
                "Every version of a conflict can be read in the folder .holdfast/conflicts of the "
                    + "mount, which is there though no listing shows it.",
                "With --json: an array of objects with the keys path, kind (versions, name or "
                    + "reserved), hidden and versions: objects with the keys id, device, own, time, "
                    + "kind, size, shown, path, file, base, reason and words.",
            ]),
        CommandSpecification(
            name: .resolve, summary: "settle a conflict, for all devices",
            arguments: [
                ArgumentSpecification(
                    name: "PATH", isRequired: true,
                    help: "the file of the conflict, or the copy that shows beside it")
            ],
            options: [
                OptionSpecification(
                    name: "keep", value: .text("ours|theirs|both|VERSION"),
                    help: "the version to keep: this device's, the other device's, both (the other "
                        + "becomes a file of its own), or one by its id or its device's name, as "
                        + "holdfast conflicts shows them"),
                OptionSpecification(
                    name: "tool", value: .text("COMMAND"),
                    help: "a shell command that merges the versions, unless one is to be kept"),
            ] + common,
            details: [
                "What is kept becomes the version that follows all others, which then go on every "
                    + "device; versions that arrive meanwhile are not touched. Other devices' edits "
                    + "that did not know of it make a new conflict.",
                "The command of --tool finds the paths of four temporary files in the variables "
                    + "BASE (what the versions come from; empty if that is not known), MINE, THEIRS "
                    + "and RESULT, a copy of MINE to be changed; also as LOCAL, REMOTE and MERGED. "
                    + "If it names none of them, the four are its arguments, in that order. The "
                    + "conflict is settled with RESULT if the command ends with 0 and has changed "
                    + "it. Of more than two versions, each is merged in turn.",
            ]),
        CommandSpecification(
            name: .explain, summary: "tell why a path shows what it shows",
            arguments: [
                ArgumentSpecification(
                    name: "PATH", isRequired: true, help: "a file or folder in a mounted share")
            ],
            options: [json] + common,
            details: [
                "Tells which operations made it, named it and wrote it, which versions of a file are "
                    + "heads (no other follows them), which of them is shown and by which rule, and "
                    + "what they come from. An operation is named by the first digits of its log's "
                    + "key, its block and its place in that: the same on every device.",
                "With --json: an object with the keys path, kind, made, placed, changed, names, "
                    + "unitedWith, rule, rulesVersion, merging, heads and conflict.",
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
            name: .dht, summary: "run a node of the DHT, through which devices find each other",
            arguments: [],
            options: [
                OptionSpecification(
                    name: "listen", value: .address("HOST:PORT", allowsAnyPort: true),
                    help: "where to listen (UDP, IPv4), port 0 for any free one; default: "
                        + "0.0.0.0:49737, or the next free port"),
                bootstrap,
                OptionSpecification(
                    name: "public", value: .flag,
                    help: "others can reach the node where it listens: it stores for them from "
                        + "the start, as the first nodes of a network must; of itself on 127.0.0.1"
                ),
                OptionSpecification(
                    name: "blind-relay", value: .flag,
                    help: "also pass on encrypted traffic between devices that cannot reach each "
                        + "other; prints the key that they can name with --relay"),
                json, home,
            ],
            details: [
                "Runs in the foreground until SIGINT or SIGTERM, then ends with 0. A few of these "
                    + "are a network of their own: give all of them, and all devices, the same "
                    + "--bootstrap; each node leaves itself out of it.",
                "A blind relay sees who sends how much to whom, and ciphertext. It is announced, so "
                    + "devices find it by themselves when they need one; its key is always the same "
                    + "on this device.",
                "Without --public the node finds out whether others can reach it, and stores for "
                    + "them once it has been reachable for twenty minutes.",
                "Prints where it listens, when it is ready and what changes; once a minute, on "
                    + "standard error, how many nodes it knows and what traffic it had. With "
                    + "--json: one object a line, with the keys event (listening, ready, changed, "
                    + "counts or stopped), address, publicAddress, persistent, firewalled, nodes, "
                    + "datagramsIn, datagramsOut, bytesIn, bytesOut, and of a blind relay relayKey, "
                    + "relayedPairs and relayedBytes.",
            ]),
        CommandSpecification(
            name: .warm, summary: "keep looking for the devices of a share, without mounting it",
            arguments: [
                ArgumentSpecification(
                    name: "LINK|TOPIC", isRequired: true,
                    help: "an invite link, or a topic: 64 hexadecimal digits or 52 characters of "
                        + "z-base-32; - reads it from standard input, which other users of this "
                        + "machine cannot see")
            ],
            options: [bootstrap, json, home],
            details: [
                "Runs a node of the DHT in the foreground and walks to the topic every five "
                    + "minutes, and more often while nobody is announced there; prints after each "
                    + "walk how many devices are announced and how many nodes answered.",
                "What that is good for: the nodes around the topic are asked, so dead ones are "
                    + "noticed and live ones known, and the way to it stays short; this node "
                    + "passes on and, where others can reach it, stores. It announces nothing: "
                    + "announcements are signed by the devices, only they can renew theirs, and "
                    + "devices would try to connect to one of ours in vain. It reads nothing of "
                    + "the share.",
                "With --json: one object a line, those of holdfast dht, and after each walk one "
                    + "with the keys topic, name, devices, nodes and milliseconds.",
            ]),
        CommandSpecification(
            name: .doctor, summary: "check whether this machine and its network let a share sync",
            arguments: [], options: [bootstrap, json, home],
            details: [
                "Looks at: the bootstrap nodes and their round trips; whether UDP goes out and "
                    + "comes in; what the router does to ports (NAT), and where others see this "
                    + "machine; whether strangers can reach it; FUSE; the clock; the kernel. "
                    + "Each is ok, a warning or a problem, with what to do.",
                "Ends with 0 if a mount would sync, with 1 if no share can be mounted, and with 4 "
                    + "if no node of the DHT answers.",
                "With --json: an object with the keys nat (none, consistent, random or unknown), "
                    + "mapped (addresses), reachable, bootstrap (address, roundTripMilliseconds), "
                    + "checks (name, state, finding, remedy) and exitCode.",
            ]),
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

    private static let member = ArgumentSpecification(
        name: "DEVICE", isRequired: true,
        help:
            "a device's name, or the first digits of its key, as holdfast status --json shows them")

    static let json = OptionSpecification(
        name: "json", value: .flag, help: "print JSON, for programs")

    static let limit = OptionSpecification(
        name: "limit", value: .count("COUNT", 1...100_000),
        help: "show so many operations at most; default: 100")

    /// Of the commands that take part in the DHT.
    static let bootstrap = OptionSpecification(
        name: "bootstrap", value: .address("HOST:PORT", allowsAnyPort: false),
        help:
            "a node of the DHT to ask first; may be given several times; default: those of the public "
            + "network",
        isRepeatable: true)

    private static let shareName = OptionSpecification(
        name: "name", value: .text("NAME"),
        help: "what the share is called; default: the name of the folder")

    private static let shareToMount = OptionSpecification(
        name: "share", value: .text("NAME|ID"),
        help: "the share to mount there from now on; default: the one that was mounted there before"
    )

    /// Of every command.
    private static let common = [home]

    /// Of the commands that start a daemon.
    private static let serving =
        [
            OptionSpecification(
                name: "transport",
                value: .choice("NAME", ["auto", "hyperswarm", "direct", "disabled"]),
                help: "how to reach other devices: hyperswarm (UDP, found through the DHT wherever "
                    + "they are), direct (TCP to the addresses of --peer and of the link), auto (both, "
                    + "and the local network) or disabled (not at all); default: auto"),
            bootstrap,
            OptionSpecification(
                name: "relay", value: .key("KEY"),
                help:
                    "the key of a peer that runs a blind relay, for networks between which no hole "
                    + "can be punched: it passes on what it cannot read"),
            OptionSpecification(
                name: "no-lan", value: .flag,
                help: "look for nobody on the local network; --transport without it looks again"),
            OptionSpecification(
                name: "peer", value: .address("HOST:PORT", allowsAnyPort: false),
                help: "where another device can be reached; may be given several times",
                isRepeatable: true),
            OptionSpecification(
                name: "listen", value: .address("HOST:PORT", allowsAnyPort: true),
                help: "where to accept TCP connections, port 0 for any free one; default: all "
                    + "addresses of this machine, any free port"),
            OptionSpecification(
                name: "device-name", value: .text("NAME"),
                help: "what others see this device called; default: the name of this machine"),
            OptionSpecification(
                name: "foreground", value: .flag,
                help: "stay in the terminal instead of going on as a daemon"),
        ] + MountFlag.allCases.map(\.option) + MountLook.options + [home]

    private static func mountPoint(_ help: String) -> ArgumentSpecification {
        ArgumentSpecification(name: "MOUNTPOINT", isRequired: true, help: help)
    }

    private static let optionalMountPoint = ArgumentSpecification(
        name: "MOUNTPOINT", isRequired: false,
        help: "where the share is mounted; without it, all shares of this device")
}
