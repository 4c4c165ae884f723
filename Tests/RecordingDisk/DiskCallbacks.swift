import CFuse3
import CLinux
import Glibc
import Synchronization

/// The disk that the callbacks serve: there is one in the process. Held for each call, so that the power
/// fails between two of them.
nonisolated(unsafe) var theDisk: RecordingDisk!
let diskLock = Mutex(())

/// libfuse's callbacks: each does what it is asked in the folder below, and notes it if that succeeded.
enum DiskCallbacks {
    static func table() -> fuse_operations {
        var table = fuse_operations()
        table.`init` = { _, settings in
            settings?.pointee.hard_remove = 1
            settings?.pointee.use_ino = 1
            return nil
        }
        setNames(&table)
        setFiles(&table)
        setFolders(&table)
        return table
    }

    private static func setNames(_ table: inout fuse_operations) {
        table.getattr = { path, result, info in
            guard let result else { return -EINVAL }
            return locked { disk in
                if let info { return code(fstat(Int32(info.pointee.fh), result)) }
                return code(lstat(disk.path(text(path)), result))
            }
        }
        table.readlink = { path, buffer, size in
            locked { disk in
                guard let buffer, size > 0 else { return -EINVAL }
                let count = Glibc.readlink(disk.path(text(path)), buffer, size - 1)
                guard count >= 0 else { return -errno }
                buffer[count] = 0
                return 0
            }
        }
        table.mknod = { path, mode, device in
            changing { disk in
                let result = code(Glibc.mknod(disk.path(text(path)), mode, device))
                if result == 0 {
                    disk.added(text(path), mode & S_IFMT == S_IFREG ? .file : .other)
                }
                return result
            }
        }
        table.mkdir = { path, mode in
            changing { disk in
                let result = code(Glibc.mkdir(disk.path(text(path)), mode))
                if result == 0 { disk.added(text(path), .folder) }
                return result
            }
        }
        table.symlink = { target, path in
            changing { disk in
                let result = code(Glibc.symlink(text(target), disk.path(text(path))))
                if result == 0 { disk.added(text(path), .symlink(target: text(target))) }
                return result
            }
        }
        table.link = { old, new in
            changing { disk in
                let result = code(Glibc.link(disk.path(text(old)), disk.path(text(new))))
                if result == 0 { disk.linked(text(old), as: text(new)) }
                return result
            }
        }
        table.unlink = { path in
            changing { disk in
                let result = code(Glibc.unlink(disk.path(text(path))))
                if result == 0 { disk.removed(text(path)) }
                return result
            }
        }
        table.rmdir = { path in
            changing { disk in
                let result = code(Glibc.rmdir(disk.path(text(path))))
                if result == 0 { disk.removed(text(path)) }
                return result
            }
        }
        table.rename = { old, new, flags in
            changing { disk in
                guard flags == 0 else { return -EINVAL }
                let result = code(Glibc.rename(disk.path(text(old)), disk.path(text(new))))
                if result == 0 { disk.renamed(text(old), to: text(new)) }
                return result
            }
        }
        table.chmod = { path, mode, _ in
            changing { disk in
                let result = code(Glibc.chmod(disk.path(text(path)), mode))
                if result == 0 { disk.modeChanged(text(path), mode) }
                return result
            }
        }
        table.chown = { path, user, group, _ in
            locked { disk in code(lchown(disk.path(text(path)), user, group)) }
        }
        table.utimens = { path, times, _ in
            locked { disk in
                code(utimensat(AT_FDCWD, disk.path(text(path)), times, AT_SYMLINK_NOFOLLOW))
            }
        }
    }

    private static func setFiles(_ table: inout fuse_operations) {
        table.open = { path, info in
            guard let info else { return -EINVAL }
            return locked { disk in opened(disk, text(path), info) }
        }
        table.create = { path, mode, info in
            guard let info else { return -EINVAL }
            return changing { disk in
                let isNew = access(disk.path(text(path)), F_OK) != 0
                let file = Glibc.open(
                    disk.path(text(path)), info.pointee.flags | O_CREAT, mode)
                guard file >= 0 else { return -errno }
                if isNew { disk.added(text(path), .file) }
                info.pointee.fh = UInt64(file)
                disk.opened(text(path), as: file, truncates: info.pointee.flags & O_TRUNC != 0)
                return 0
            }
        }
        table.release = { _, info in
            guard let info else { return -EINVAL }
            return locked { disk in
                let file = Int32(info.pointee.fh)
                disk.closed(file)
                return code(close(file))
            }
        }
        table.read = { _, buffer, size, offset, info in
            guard let info else { return -EINVAL }
            return locked { _ in
                let count = pread(Int32(info.pointee.fh), buffer, size, offset)
                return count < 0 ? -errno : Int32(count)
            }
        }
        table.write = { _, buffer, size, offset, info in
            guard let info, let buffer else { return -EINVAL }
            return changing { disk in
                let file = Int32(info.pointee.fh)
                let count = pwrite(file, buffer, size, offset)
                guard count >= 0 else { return -errno }
                let bytes = [UInt8](UnsafeRawBufferPointer(start: buffer, count: count))
                disk.changed(file, .write(offset: Int(offset), bytes: bytes))
                return Int32(count)
            }
        }
        table.truncate = { path, size, info in
            changing { disk in
                if let info {
                    let file = Int32(info.pointee.fh)
                    let result = code(ftruncate(file, size))
                    if result == 0 { disk.changed(file, .resize(Int(size))) }
                    return result
                }
                let result = code(Glibc.truncate(disk.path(text(path)), size))
                if result == 0 { disk.changed(text(path), .resize(Int(size))) }
                return result
            }
        }
        table.fsync = { _, _, info in
            guard let info else { return -EINVAL }
            return changing { disk in
                disk.synced(Int32(info.pointee.fh))
                return 0
            }
        }
        table.fallocate = { _, mode, offset, length, info in
            guard let info else { return -EINVAL }
            return changing { disk in
                let file = Int32(info.pointee.fh)
                let range = Int(offset)..<Int(offset + length)
                switch mode {
                // Space alone: not a change.
                case FALLOC_FL_KEEP_SIZE: return 0
                case FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE:
                    let result = code(holdfast_punch_hole(file, offset, length))
                    if result == 0 { disk.changed(file, .zero(range)) }
                    return result
                default: return -EOPNOTSUPP
                }
            }
        }
        table.lseek = { _, offset, whence, info in
            guard let info else { return off_t(-EINVAL) }
            return diskLock.withLock { _ in
                let found = Glibc.lseek(Int32(info.pointee.fh), offset, whence)
                return found < 0 ? off_t(-errno) : found
            }
        }
        table.statfs = { path, result in
            guard let result else { return -EINVAL }
            return locked { disk in code(statvfs(disk.path(text(path)), result)) }
        }
    }

    private static func setFolders(_ table: inout fuse_operations) {
        table.readdir = { path, buffer, fill, _, _, _ in
            locked { disk in
                guard let stream = opendir(disk.path(text(path))) else { return -errno }
                defer { closedir(stream) }
                while let entry = readdir(stream) {
                    _ = withUnsafePointer(to: &entry.pointee.d_name) { name in
                        name.withMemoryRebound(to: CChar.self, capacity: 256) { name in
                            fill?(buffer, name, nil, 0, fuse_fill_dir_flags(rawValue: 0))
                        }
                    }
                }
                return 0
            }
        }
        table.fsyncdir = { path, _, _ in
            changing { disk in
                disk.synced(folder: text(path))
                return 0
            }
        }
    }

}

// Free functions: a C callback captures nothing, a type neither.

private func locked(_ body: (RecordingDisk) -> Int32) -> Int32 {
    diskLock.withLock { _ in body(theDisk) }
}

/// As `locked`, for what a broken disk does no more.
private func changing(_ body: (RecordingDisk) -> Int32) -> Int32 {
    locked { disk in disk.isBroken ? -EIO : body(disk) }
}

private func code(_ result: Int32) -> Int32 { result == 0 ? 0 : -errno }

private func text(_ pointer: UnsafePointer<CChar>?) -> String {
    pointer.map { String(cString: $0) } ?? ""
}

private func opened(
    _ disk: RecordingDisk, _ path: String, _ info: UnsafeMutablePointer<fuse_file_info>
) -> Int32 {
    let file = Glibc.open(disk.path(path), info.pointee.flags & ~O_APPEND)
    guard file >= 0 else { return -errno }
    info.pointee.fh = UInt64(file)
    disk.opened(path, as: file, truncates: info.pointee.flags & O_TRUNC != 0)
    return 0
}
