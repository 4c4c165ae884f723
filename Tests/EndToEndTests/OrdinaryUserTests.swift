import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// A user who is not root mounts through fusermount3.
    struct OrdinaryUserTests {
        /// What the user types; `$0` is the program. Its own words come last, so that a daemon that
        /// kept standard output would be noticed.
        private static let session = #"""
            set -eu
            holdfast="$0"
            export HOLDFAST_HOME="$PWD/state" HOLDFAST_TRANSPORT=disabled
            mkdir things
            "$holdfast" create things --device-name user >link
            mkdir things/folder && echo hello >things/folder/file
            cp -a /etc/passwd things/ && cmp /etc/passwd things/passwd
            ln -s folder things/link && [ "$(cat things/link/file)" = hello ]
            chmod 600 things/passwd && [ "$(stat -c %a:%u things/passwd)" = "600:$(id -u)" ]
            "$holdfast" status things --json | grep -q '"digest"'
            grep -q "^  syncing" things/.holdfast/status && [ "$(stat -c %a:%u things/.holdfast)" = "555:$(id -u)" ]
            "$holdfast" unmount things
            [ -z "$(ls -A things)" ]
            "$holdfast" mount things
            [ "$(cat things/folder/file)" = hello ]
            "$holdfast" check things
            sh -c 'while :; do echo line; done' >things/lines &
            sleep 0.2; kill -9 $!; wait $! || true
            "$holdfast" umount.fuse.holdfast things
            "$holdfast" mount things
            [ "$(head -n 1 things/lines)" = line ]
            "$holdfast" unmount things
            echo all is well
            """#

        @Test func `an ordinary user mounts, writes, unmounts and mounts again`() throws {
            guard Machine.find("fusermount3") != nil else {
                try Test.cancel("fusermount3 is not installed")
            }
            try Place.use(.seconds(60)) { place in
                let folder = place.path + "/user"
                try Files.makeFolder(folder)
                var command = ["/bin/sh", "-c", Self.session, Machine.program]
                if Machine.isRoot {
                    // Root becomes somebody else, in a mount namespace of its own where /dev/fuse is
                    // open to all: the machine's own stays as it is.
                    let user = "65534"
                    chown(folder, 65534, 65534)
                    chmod(Janitor.root, 0o755)
                    let become = """
                        mknod '\(place.path)/fuse' c 10 229 && chmod 666 '\(place.path)/fuse'
                        mount --bind '\(place.path)/fuse' /dev/fuse || exit 99
                        exec setpriv --reuid=\(user) --regid=\(user) --clear-groups \
                        --inh-caps=-all "$@"
                        """
                    command = ["unshare", "-m", "/bin/sh", "-c", become, "sh"] + command
                    let test = try place.start(
                        [
                            "unshare", "-m", "/bin/sh", "-c", become, "sh", "test", "-x",
                            Machine.program,
                        ])
                    guard test.finish(within: .seconds(10)).code == 0 else {
                        try Test.cancel("a second user cannot be used on this machine")
                    }
                    unlink(place.path + "/fuse")
                }
                let outcome = try place.start(command, in: folder).finish(within: .seconds(50))
                #expect(outcome.code == 0, "\(outcome.errors)")
                #expect(outcome.output.hasSuffix("all is well\n"), "\(outcome)")
                #expect(wait(.seconds(5)) { place.processes.isEmpty })
            }
        }
    }
}
