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
var words = CommandLine.arguments
// mount(8) calls a link to the program, or the script in Mount, which says so in its first word.
let calledAs = words.isEmpty ? "" : PathText.lastName(of: words.removeFirst())
if calledAs.hasPrefix(MountHelperCall.prefix) {
    exit(MountHelper(application: application).run(words))
} else if words.first?.hasPrefix(MountHelperCall.prefix) == true {
    exit(MountHelper(application: application).run(Array(words.dropFirst())))
} else if words.first == MountGuard.word {
    exit(MountGuard.stand(Array(words.dropFirst())))
}
exit(application.run(words).rawValue)
