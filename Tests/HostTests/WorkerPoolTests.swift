import Glibc
import Host
import Synchronization
import Testing

@Suite struct WorkerPoolTests {
    @Test func `every job runs once, and stop waits for them`() throws {
        let pool = try WorkerPool(threads: 4, queueMax: 8)
        let ran = Mutex<[Int: Int]>([:])
        for job in 0..<2000 {
            pool.submit { ran.withLock { $0[job, default: 0] += 1 } }
        }
        pool.stop()
        #expect(ran.withLock { $0.count } == 2000)
        #expect(ran.withLock { $0.values.allSatisfy { $0 == 1 } })
        #expect(!pool.trySubmit {})
        #expect(!pool.submit {})
    }

    @Test func `a full queue refuses, and drain waits for what runs`() throws {
        let pool = try WorkerPool(threads: 1, queueMax: 2)
        let isHeld = Atomic<Bool>(true)
        let started = Atomic<Int>(0)
        let ran = Atomic<Int>(0)
        let job: @Sendable () -> Void = {
            started.add(1, ordering: .relaxed)
            while isHeld.load(ordering: .acquiring) { usleep(1000) }
            ran.add(1, ordering: .relaxed)
        }
        pool.submit(job)
        #expect(eventually { started.load(ordering: .relaxed) == 1 })
        #expect(pool.trySubmit(job) && pool.trySubmit(job))
        #expect(!pool.trySubmit(job))
        isHeld.store(false, ordering: .releasing)
        pool.drain()
        #expect(ran.load(ordering: .relaxed) == 3)
        pool.stop()
    }

    @Test func `a job that submits more than there is room for does not wait for itself`() throws {
        let pool = try WorkerPool(threads: 1, queueMax: 1)
        let ran = Atomic<Int>(0)
        pool.submit {
            for _ in 0..<10 { pool.submit { ran.add(1, ordering: .relaxed) } }
        }
        pool.drain()
        #expect(ran.load(ordering: .relaxed) == 10)
        pool.stop()
    }
}
