import CLinux
import Glibc

/// A thread of the host's own. Blocking calls belong here, never on a shared pool.
struct HostThread: @unchecked Sendable {
    private let thread: pthread_t

    private final class Start {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// - Parameter name: shown by `ps -L`; the kernel keeps 15 bytes.
    init(name: String, _ body: @escaping @Sendable () -> Void) throws(HostError) {
        var thread = pthread_t()
        // The thread takes the one reference over.
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let start = unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                unsafe _ = pthread_setname_np(pthread_self(), String(start.name.prefix(15)))
                start.body()
                return nil
            }, start.toOpaque())
        guard code == 0 else {
            unsafe start.release()
            throw .system(code: code, action: "starting a thread")
        }
        self.thread = thread
    }

    /// Waits for its end. Call it once, from another thread.
    func join() { _ = pthread_join(thread, nil) }

    var isCurrent: Bool { pthread_equal(thread, pthread_self()) != 0 }
}
