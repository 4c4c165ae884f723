import Glibc
import Host

ProcessSafety.openStandardDescriptors()
let environment = ProcessEnvironment.all
let application = Application(
    environment: environment, console: StandardConsole(),
    makeService: { LocalShares(home: $0, environment: environment) },
    startDaemon: { words, logFile throws(HostError) in
        try Daemon.start(
            arguments: words, environment: environment.map { "\($0.key)=\($0.value)" }.sorted(),
            logFile: logFile)
    })
exit(application.run(Array(CommandLine.arguments.dropFirst())).rawValue)
