import Testing

@testable import holdfast

@Suite struct HelpTextTests {
    @Test func `every command has one row`() {
        #expect(CommandTable.commands.map(\.name) == CommandName.allCases)
    }

    @Test(arguments: CommandName.allCases)
    func `a command's help tells of every argument, option and environment twin`(
        name: CommandName
    ) {
        let command = CommandTable.command(name)
        let help = HelpText.about(command)
        #expect(help.hasPrefix("usage: holdfast \(name.rawValue)"))
        for argument in command.arguments { #expect(help.contains("  \(argument.name)")) }
        for option in command.options {
            let head = ["  --\(option.name)", option.value.name].compactMap(\.self)
            #expect(help.contains(head.joined(separator: " ")))
            #expect(help.contains("[\(option.environmentName)]"))
        }
        for line in help.split(separator: "\n") where !line.hasPrefix("usage:") {
            #expect(line.count <= HelpText.width, "\(line)")
        }
    }

    @Test func `the overview tells of every command and exit code`() {
        let overview = HelpText.overview()
        for name in CommandName.allCases { #expect(overview.contains("\n  \(name.rawValue) ")) }
        for code in ExitCode.allCases { #expect(overview.contains("\n  \(code.rawValue) ")) }
        for line in overview.split(separator: "\n") { #expect(line.count <= HelpText.width) }
    }

    @Test func `exit codes are what they always were`() {
        #expect(ExitCode.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12])
    }

    @Test func `options have the promised names in the environment`() {
        let names = Set(CommandTable.commands.flatMap(\.options).map(\.environmentName))
        #expect(
            names == [
                "HOLDFAST_NAME", "HOLDFAST_TRANSPORT", "HOLDFAST_PEER", "HOLDFAST_LISTEN",
                "HOLDFAST_DEVICE_NAME", "HOLDFAST_FOREGROUND", "HOLDFAST_HOME", "HOLDFAST_JSON",
                "HOLDFAST_LIMIT", "HOLDFAST_REBUILD", "HOLDFAST_BOOTSTRAP", "HOLDFAST_RELAY",
                "HOLDFAST_READ_ONLY", "HOLDFAST_ALLOW_OTHER", "HOLDFAST_SUID", "HOLDFAST_DEV",
                "HOLDFAST_SOURCE", "HOLDFAST_NO_LAN", "HOLDFAST_PUBLIC", "HOLDFAST_BLIND_RELAY",
                "HOLDFAST_NOEXEC", "HOLDFAST_SYNC", "HOLDFAST_NONEMPTY", "HOLDFAST_OWNER",
                "HOLDFAST_UID", "HOLDFAST_GID", "HOLDFAST_CACHE_SECONDS", "HOLDFAST_SHARE",
                "HOLDFAST_ACL", "HOLDFAST_KEEP", "HOLDFAST_TOOL",
                "HOLDFAST_VERSION", "HOLDFAST_AT", "HOLDFAST_TO", "HOLDFAST_ALL", "HOLDFAST_DAILY",
                "HOLDFAST_SPACE", "HOLDFAST_RULES", "HOLDFAST_ANEW",
                "HOLDFAST_DEVICE", "HOLDFAST_DRY_RUN", "HOLDFAST_ACL",
            ])
    }

    @Test func `every option of every command is understood as its help writes it`() throws {
        let samples = [
            "NAME": "direct", "HOST:PORT": "host:1", "FOLDER": "/f", "COUNT": "5",
            "NUMBER": "5", "SECONDS": "5", "WHOSE": "user", "NAME|ID": "demo",
            "ours|theirs|both|VERSION": "ours", "COMMAND": "meld",
            "VERSION": "3f9a2b1c.1.2", "TIME": "2h", "PATH": "/x", "DAYS": "5", "MEGABYTES": "5",
            "RULES": "newest", "DEVICE": "bob",
            "KEY": String(repeating: "5a", count: 32),
        ]
        for command in CommandTable.commands where command.name != .help {
            var words = [command.name.rawValue] + command.arguments.map { _ in "/x" }
            for option in command.options {
                words.append("--\(option.name)")
                if let name = option.value.name {
                    words.append(try #require(samples[name], "no sample for \(name)"))
                }
            }
            guard case .run(let parsed) = try CommandParser(environment: [:]).parse(words) else {
                Issue.record("\(words)")
                continue
            }
            #expect(parsed.values.count + parsed.flags.count == command.options.count)
        }
    }
}
