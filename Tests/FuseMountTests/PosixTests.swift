import Base
import Glibc
import Share
import Testing

@testable import FuseMount

/// What programs expect of any filesystem, asked of a real mount.
@Suite(.enabled(if: canMount), .serialized)
struct PosixTests {
    struct Behaviour: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let check: @Sendable (TestFolder) throws -> Void

        init(_ sentence: String, _ check: @escaping @Sendable (TestFolder) throws -> Void) {
            testDescription = sentence
            self.check = check
        }
    }

    @Test(arguments: [true, false])
    func `a mount behaves as POSIX says`(writeBack: Bool) throws {
        let mount = try TestMount { $0.writeBack = writeBack }
        defer { mount.end() }
        for (index, behaviour) in (Self.names + Self.files + Self.attributes).enumerated() {
            mkdir(mount.at("\(index)"), 0o755)
            do {
                try behaviour.check(TestFolder(mount: mount, path: mount.at("\(index)")))
            } catch {
                Issue.record("\(behaviour.testDescription): \(error)")
            }
        }
        #expect(mount.log == [])
    }
}

/// One folder of a mount.
final class TestFolder: Sendable {
    let mount: TestMount
    let path: String

    init(mount: TestMount, path: String) {
        self.mount = mount
        self.path = path
    }

    func at(_ name: String) -> String { "\(path)/\(name)" }
}
