// What Swift's Glibc module lacks. For integers and pointers the calling conventions agree.

@_silgen_name("copy_file_range")
func copy_file_range(
    _ from: Int32, _ fromOffset: UnsafeMutablePointer<Int>?, _ to: Int32,
    _ toOffset: UnsafeMutablePointer<Int>?, _ count: Int, _ flags: UInt32
) -> Int

@_silgen_name("fallocate")
func fallocate(_ file: Int32, _ mode: Int32, _ offset: Int, _ count: Int) -> Int32

@_silgen_name("renameat2")
func renameat2(
    _ directory: Int32, _ name: UnsafePointer<CChar>, _ newDirectory: Int32,
    _ newName: UnsafePointer<CChar>, _ flags: UInt32
) -> Int32

@_silgen_name("setxattr")
func setxattr(
    _ path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>, _ value: UnsafePointer<UInt8>?,
    _ size: Int, _ flags: Int32
) -> Int32

@_silgen_name("getxattr")
func getxattr(
    _ path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>,
    _ value: UnsafeMutablePointer<UInt8>?, _ size: Int
) -> Int

@_silgen_name("listxattr")
func listxattr(
    _ path: UnsafePointer<CChar>, _ list: UnsafeMutablePointer<CChar>?, _ size: Int
) -> Int

@_silgen_name("removexattr")
func removexattr(_ path: UnsafePointer<CChar>, _ name: UnsafePointer<CChar>) -> Int32

@_silgen_name("fsetxattr")
func fsetxattr(
    _ file: Int32, _ name: UnsafePointer<CChar>, _ value: UnsafePointer<UInt8>?, _ size: Int,
    _ flags: Int32
) -> Int32

@_silgen_name("fgetxattr")
func fgetxattr(
    _ file: Int32, _ name: UnsafePointer<CChar>, _ value: UnsafeMutablePointer<UInt8>?,
    _ size: Int
) -> Int

@_silgen_name("setfsuid")
func setfsuid(_ user: UInt32) -> Int32

/// `struct file_handle` begins with the size of what follows and its type, four bytes each.
@_silgen_name("name_to_handle_at")
func name_to_handle_at(
    _ directory: Int32, _ path: UnsafePointer<CChar>, _ handle: UnsafeMutablePointer<UInt32>,
    _ mount: UnsafeMutablePointer<Int32>, _ flags: Int32
) -> Int32

@_silgen_name("open_by_handle_at")
func open_by_handle_at(
    _ mount: Int32, _ handle: UnsafeMutablePointer<UInt32>, _ flags: Int32
) -> Int32

@_silgen_name("mount")
private func mount(
    _ source: UnsafePointer<CChar>, _ target: UnsafePointer<CChar>, _ type: UnsafePointer<CChar>?,
    _ flags: UInt, _ data: UnsafeRawPointer?
) -> Int32

/// Shows a mount at another place, too (MS_BIND).
func bindMount(_ source: String, _ target: String) -> Int32 {
    mount(source, target, nil, 4096, nil)
}

@_silgen_name("umount2")
func umount2(_ target: UnsafePointer<CChar>, _ flags: Int32) -> Int32
