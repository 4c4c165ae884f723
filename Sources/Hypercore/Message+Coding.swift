internal import Base
internal import Wire

// Flags come first and say which fields follow; unknown bits and trailing bytes are ignored.

/// A message that knows its bytes.
protocol Message: Equatable {
    init(from reader: inout WireReader) throws(WireError)
    func encode(into writer: inout WireWriter)
}

extension Message {
    init(decoding bytes: Span<UInt8>) throws(WireError) {
        var reader = WireReader(bytes)
        try self.init(from: &reader)
    }

    func encoded(reserving capacity: Int = 16) -> [UInt8] {
        var writer = WireWriter(reserving: capacity)
        encode(into: &writer)
        return writer.bytes
    }
}

extension ChannelHandshake: Message {
    init(from reader: inout WireReader) throws(WireError) {
        seeks = try reader.readUInt() & 1 != 0
        capability = try reader.readBytes32()
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt(seeks ? 1 : 0)
        writer.writeBytes32(capability)
    }
}

extension SyncMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        fork = try reader.readUInt()
        length = try reader.readUInt(max: Limits.lengthMax)
        remoteLength = try reader.readUInt()
        canUpgrade = flags & 1 != 0
        uploading = flags & 2 != 0
        downloading = flags & 4 != 0
        hasManifest = flags & 8 != 0
        allowPush = flags & 16 != 0
    }

    func encode(into writer: inout WireWriter) {
        var flags: UInt64 = 0
        if canUpgrade { flags |= 1 }
        if uploading { flags |= 2 }
        if downloading { flags |= 4 }
        if hasManifest { flags |= 8 }
        if allowPush { flags |= 16 }
        writer.writeUInt(flags)
        writer.writeUInt(fork)
        writer.writeUInt(length)
        writer.writeUInt(remoteLength)
    }
}

extension RequestMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        id = try reader.readUInt()
        fork = try reader.readUInt()
        if flags & 1 != 0 {
            let index = try reader.readUInt()
            block = Block(index: index, nodes: try reader.readUInt())
        }
        if flags & 2 != 0 {
            let index = try reader.readUInt()
            hash = Hash(index: index, nodes: try reader.readUInt())
        }
        if flags & 4 != 0 {
            let bytes = try reader.readUInt()
            seek = Seek(bytes: bytes, padding: try reader.readUInt())
        }
        if flags & 8 != 0 {
            let start = try reader.readUInt()
            upgrade = Upgrade(start: start, length: try reader.readUInt())
        }
        manifest = flags & 16 != 0
        if flags & 32 != 0 { priority = try reader.readUInt() }
    }

    func encode(into writer: inout WireWriter) {
        var flags: UInt64 = 0
        if block != nil { flags |= 1 }
        if hash != nil { flags |= 2 }
        if seek != nil { flags |= 4 }
        if upgrade != nil { flags |= 8 }
        if manifest { flags |= 16 }
        if priority != 0 { flags |= 32 }
        writer.writeUInt(flags)
        writer.writeUInt(id)
        writer.writeUInt(fork)
        if let block {
            writer.writeUInt(block.index)
            writer.writeUInt(block.nodes)
        }
        if let hash {
            writer.writeUInt(hash.index)
            writer.writeUInt(hash.nodes)
        }
        if let seek {
            writer.writeUInt(seek.bytes)
            writer.writeUInt(seek.padding)
        }
        if let upgrade {
            writer.writeUInt(upgrade.start)
            writer.writeUInt(upgrade.length)
        }
        if priority != 0 { writer.writeUInt(priority) }
    }
}

extension DataMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        request = try reader.readUInt()
        proof = Proof(fork: try reader.readUInt())
        if flags & 1 != 0 {
            let index = try reader.readUInt()
            let bytes = try reader.readBuffer(max: Limits.blockSizeMax)
            proof.block = Proof.Block(
                index: index, bytes: bytes, nodes: try TreeNode.list(from: &reader))
        }
        if flags & 2 != 0 {
            let index = try reader.readUInt()
            proof.hash = Proof.Hash(index: index, nodes: try TreeNode.list(from: &reader))
        }
        if flags & 4 != 0 {
            let bytes = try reader.readUInt()
            proof.seek = Proof.Seek(bytes: bytes, nodes: try TreeNode.list(from: &reader))
        }
        if flags & 8 != 0 { proof.upgrade = try Proof.Upgrade(from: &reader) }
        if flags & 16 != 0 { proof.manifest = try Manifest(from: &reader) }
    }

    func encode(into writer: inout WireWriter) {
        var flags: UInt64 = 0
        if proof.block != nil { flags |= 1 }
        if proof.hash != nil { flags |= 2 }
        if proof.seek != nil { flags |= 4 }
        if proof.upgrade != nil { flags |= 8 }
        if proof.manifest != nil { flags |= 16 }
        writer.writeUInt(flags)
        writer.writeUInt(request)
        writer.writeUInt(proof.fork)
        if let block = proof.block {
            writer.writeUInt(block.index)
            writer.writeBuffer(block.bytes)
            TreeNode.encode(block.nodes, into: &writer)
        }
        if let hash = proof.hash {
            writer.writeUInt(hash.index)
            TreeNode.encode(hash.nodes, into: &writer)
        }
        if let seek = proof.seek {
            writer.writeUInt(seek.bytes)
            TreeNode.encode(seek.nodes, into: &writer)
        }
        if let upgrade = proof.upgrade { upgrade.encode(into: &writer) }
        if let manifest = proof.manifest { manifest.encode(into: &writer) }
    }

    /// A capacity that fits without growing.
    var sizeEstimate: Int {
        var nodes = (proof.block?.nodes.count ?? 0) + (proof.hash?.nodes.count ?? 0)
        nodes += proof.seek?.nodes.count ?? 0
        var size = 64 + (proof.block?.bytes.count ?? 0)
        if let upgrade = proof.upgrade {
            nodes += upgrade.nodes.count + upgrade.additionalNodes.count
            size += upgrade.signature.count + 32
        }
        if proof.manifest != nil { size += 256 }
        return size + 44 * nodes
    }
}

extension Proof.Upgrade {
    fileprivate init(from reader: inout WireReader) throws(WireError) {
        start = try reader.readUInt(max: Limits.lengthMax)
        length = try reader.readUInt(max: Limits.lengthMax)
        nodes = try TreeNode.list(from: &reader)
        additionalNodes = try TreeNode.list(from: &reader)
        signature = try reader.readBuffer(max: Limits.signatureSizeMax)
    }

    fileprivate func encode(into writer: inout WireWriter) {
        writer.writeUInt(start)
        writer.writeUInt(length)
        TreeNode.encode(nodes, into: &writer)
        TreeNode.encode(additionalNodes, into: &writer)
        writer.writeBuffer(signature)
    }
}

extension TreeNode {
    static func list(from reader: inout WireReader) throws(WireError) -> [TreeNode] {
        let count = try reader.readCount(max: Limits.proofNodesMax, minimumElementSize: 34)
        var nodes: [TreeNode] = []
        nodes.reserveCapacity(count)
        for _ in 0..<count {
            let index = try reader.readUInt()
            let size = try reader.readUInt()
            nodes.append(TreeNode(index: index, size: size, hash: try reader.readBytes32()))
        }
        return nodes
    }

    static func encode(_ nodes: [TreeNode], into writer: inout WireWriter) {
        writer.writeUInt(nodes.count)
        for node in nodes {
            writer.writeUInt(node.index)
            writer.writeUInt(node.size)
            writer.writeBytes32(node.hash)
        }
    }
}

/// The id alone.
struct CancelMessage: Message {
    var request: UInt64

    init(request: UInt64) { self.request = request }
    init(from reader: inout WireReader) throws(WireError) { request = try reader.readUInt() }
    func encode(into writer: inout WireWriter) { writer.writeUInt(request) }
}

extension NoDataMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        request = try reader.readUInt()
        // Older peers stop after the id.
        if !reader.isAtEnd, try reader.readUInt() & 1 != 0 { reason = try reader.readUInt() }
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt(request)
        writer.writeUInt(reason == 0 ? 0 : 1)
        if reason != 0 { writer.writeUInt(reason) }
    }
}

extension WantMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        start = try reader.readUInt()
        length = try reader.readUInt()
        if !reader.isAtEnd { any = try reader.readUInt() & 1 != 0 }
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt(start)
        writer.writeUInt(length)
        if any { writer.writeUInt(1) }
    }
}

extension BitfieldMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        start = try reader.readUInt()
        let count = try reader.readCount(max: Limits.bitfieldWordsMax, minimumElementSize: 4)
        words = []
        words.reserveCapacity(count)
        for _ in 0..<count { words.append(try reader.readUInt32()) }
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt(start)
        writer.writeUInt(words.count)
        for word in words { writer.writeUInt32(word) }
    }
}

extension RangeMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        let flags = try reader.readUInt()
        drop = flags & 1 != 0
        start = try reader.readUInt()
        length = flags & 2 != 0 ? 1 : try reader.readUInt()
    }

    func encode(into writer: inout WireWriter) {
        writer.writeUInt((drop ? 1 : 0) | (length == 1 ? 2 : 0))
        writer.writeUInt(start)
        if length != 1 { writer.writeUInt(length) }
    }
}

extension ExtensionMessage: Message {
    init(from reader: inout WireReader) throws(WireError) {
        name = try reader.readString(max: Limits.extensionNameSizeMax)
        payload = reader.readRest()
    }

    func encode(into writer: inout WireWriter) {
        writer.writeBuffer(Array(name.utf8))
        writer.writeRaw(payload)
    }
}
