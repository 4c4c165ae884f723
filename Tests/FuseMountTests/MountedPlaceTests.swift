import Glibc
import Testing

@testable import FuseMount

@Suite(.enabled(if: canMount && geteuid() == 0), .serialized)
struct MountedPlaceTests {
    /// Whether somebody keeps a mount busy; it stays. MNT_EXPIRE only marks one that nobody uses.
    private func isBusy(_ mount: TestMount) throws -> Bool {
        var statistics = statvfs()
        try check(statvfs(mount.path, &statistics))
        let failure = code { try check(umount2(mount.path, 4)) }
        #expect(failure == EBUSY || failure == EAGAIN)
        return failure == EBUSY
    }

    @Test func `a look apart keeps nobody from unmounting`() throws {
        let mount = try TestMount(ticks: false)
        defer { mount.end() }
        try writeFile(mount.at("a"), [1, 2, 3])
        let place = try #require(MountedPlace(mountedAt: mount.path))
        let inside = try #require(place.open())
        #expect(try isBusy(mount))
        close(inside)
        #expect(try !isBusy(mount))
        let apart = try #require(place.openApart())
        #expect(try !isBusy(mount))
        let file = try check(openat(apart, "a", O_RDONLY))
        #expect(try readAll(file) == [1, 2, 3])
        close(file)
        // What lies there now is not the share.
        try check(umount2(mount.path, 2))
        #expect(place.openApart() == nil)
        #expect(place.status(of: []) == nil)
        // The session ends with the last that looks.
        close(apart)
    }
}
