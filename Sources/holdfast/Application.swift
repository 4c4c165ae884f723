import Host

/// One run of the program, from its words to its exit code.
struct Application {
    static let version = "0.1.0"

    let environment: [String: String]
    let console: any Console
    /// - Parameter home: what `--home` or HOLDFAST_HOME says.
    let makeService: (_ home: String?) -> any ShareService
    /// Starts a daemon and waits until it reports; `Daemon.start` outside of tests.
    var startDaemon: (_ words: [String], _ logFile: String) throws(HostError) -> StartReport
    var surroundings = Surroundings.ofProcess

    func run(_ words: [String]) -> ExitCode {
        do throws(CommandFailure) {
            let parser = CommandParser(environment: environment)
            switch try parser.parse(words) {
            case .overview: console.write(HelpText.overview())
            case .version: console.writeLine("holdfast \(Self.version)")
            case .run(let parsed) where parsed.wantsHelp:
                console.write(HelpText.about(CommandTable.command(parsed.name)))
            case .run(let parsed): try run(parsed)
            }
            return .success
        } catch {
            console.writeError("holdfast: \(error.message)\n")
            return error.code
        }
    }

    func run(_ parsed: ParsedCommand) throws(CommandFailure) {
        let context = CommandContext(
            parsed: parsed, environment: environment, console: console,
            service: makeService(parsed.value("home")), startDaemon: startDaemon,
            surroundings: surroundings)
        switch parsed.name {
        case .create: try context.create()
        case .join: try context.join()
        case .mount: try context.mount()
        case .unmount: try context.unmount()
        case .invite: try context.invite()
        case .status: try context.status()
        case .peers: try context.peers()
        case .revoke: try context.endMember()
        case .retire: try context.endMember()
        case .export: try context.export()
        case .pause: try context.setPaused(true)
        case .resume: try context.setPaused(false)
        case .log: try context.log()
        case .conflicts: try context.conflicts()
        case .resolve: try context.resolve()
        case .explain: try context.explain()
        case .restore: try context.restore()
        case .retain: try context.retention()
        case .merging: try context.merging()
        case .check: try context.check()
        case .dht: try context.dht()
        case .warm: try context.warm()
        case .doctor: try context.doctor()
        // The parser turns it into what it asks for.
        case .help: break
        }
    }
}
