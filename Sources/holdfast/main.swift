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
// mount(8) and umount(8) call links to the program, or the script in Mount, which says so in its first
// word.
let calledAs = words.isEmpty ? "" : PathText.lastName(of: words.removeFirst())
if calledAs.hasPrefix(MountHelperCall.prefix) {
    exit(MountHelper(application: application).run(words))
} else if words.first?.hasPrefix(MountHelperCall.prefix) == true {
    exit(MountHelper(application: application).run(Array(words.dropFirst())))
} else if calledAs.hasPrefix(UnmountHelper.prefix) {
    exit(UnmountHelper(application: application).run(words))
} else if words.first?.hasPrefix(UnmountHelper.prefix) == true {
    exit(UnmountHelper(application: application).run(Array(words.dropFirst())))
} else if words.first == MountGuard.word {
    exit(MountGuard.stand(Array(words.dropFirst())))
}
exit(application.run(words).rawValue)
