package import Base
package import Crypto
internal import Wire

/// An encrypted, authenticated stream of messages over any ordered stream of bytes.
///
/// Everything is framed. The bytes of one direction are
///
///     3  length n of the frame, the lowest byte first
///     n  frame:  the Noise XX messages of this side, one each (left out if a handshake came before)
///                then once 56 bytes: stream id 32, cipher header 24
///                then messages: 1 encrypted tag, the encrypted message, 16 authenticator
///
/// The stream does no I/O: `receive` takes bytes cut anywhere and appends what they mean, and what is
/// to be sent is appended to `output`. A message of no bytes keeps the connection alive and is not
/// handed up. After a throw every further `receive` throws the same.
package struct SecretStream: Sendable {
    package enum Event: Equatable, Sendable {
        /// The handshake is done: the other side holds `remotePublicKey`. From here on `send` may be
        /// called. Not reported if the handshake was done elsewhere.
        case connected(remotePublicKey: Bytes32, handshakeHash: [UInt8])
        case message([UInt8])
    }

    /// What `next` came upon.
    package enum Found: Equatable, Sendable {
        /// As the event of this name.
        case connected(remotePublicKey: Bytes32, handshakeHash: [UInt8])
        /// It is in the buffer that `next` was given.
        case message
    }

    private enum Phase: Sendable { case handshake, header, messages }

    private let role: Role
    private let headerNonce: [UInt8]
    private let frameSizeMax: Int
    private var handshake: Handshake?
    private var session: HandshakeResult?
    /// What the next frame is.
    private var phase: Phase
    private var sender: SecretStreamState?
    private var receiver: SecretStreamState?
    /// The bytes of a frame that is not whole yet, its length in front.
    private var partialFrame: [UInt8] = []
    private var failure: NoiseError?

    /// A stream that begins with a Noise XX handshake with an empty prologue.
    ///
    /// - Parameters:
    ///   - ephemeral: fresh, for this stream alone.
    ///   - headerNonce: 24 random bytes.
    ///   - frameSizeMax: the longest frame to take in once connected.
    package init(
        role: Role, keyPair: KeyPair, ephemeral: KeyPair, headerNonce: [UInt8],
        frameSizeMax: Int = Limits.frameSizeMax
    ) {
        precondition(headerNonce.count == SecretStreamState.headerSize)
        self.role = role
        self.headerNonce = headerNonce
        self.frameSizeMax = frameSizeMax
        handshake = Handshake(
            pattern: .xx, role: role, staticKey: keyPair, ephemeralKey: ephemeral)
        phase = .handshake
    }

    /// A stream whose handshake was done elsewhere.
    ///
    /// - Parameter headerNonce: 24 random bytes.
    package init(
        role: Role, session: HandshakeResult, headerNonce: [UInt8],
        frameSizeMax: Int = Limits.frameSizeMax
    ) {
        precondition(headerNonce.count == SecretStreamState.headerSize)
        self.role = role
        self.headerNonce = headerNonce
        self.frameSizeMax = frameSizeMax
        self.session = session
        phase = .header
    }

    /// Whether `send` may be called.
    package var isConnected: Bool { sender != nil }

    /// The 64-byte hash of the handshake, once it is done.
    package var handshakeHash: [UInt8]? { session?.handshakeHash }

    /// Appends the bytes to be sent first, if any. Call it once, before anything else.
    ///
    /// With a handshake done elsewhere, the stream is connected afterwards.
    package mutating func start(into output: inout [UInt8]) {
        if session != nil {
            sendHeader(into: &output)
        } else if role == .initiator, var handshake {
            let nothing: [UInt8] = []
            do {
                try appendFrame(handshake.write(payload: nothing.span), to: &output)
            } catch {
                failure = error
            }
            self.handshake = handshake
        }
    }

    /// Encrypts one message to the end of `output`; an empty one keeps the connection alive.
    ///
    /// - Precondition: `isConnected`, and at most `Limits.messageSizeMax` bytes.
    package mutating func send(_ message: Span<UInt8>, into output: inout [UInt8]) {
        precondition(isConnected, "a message before the handshake is done")
        precondition(message.count <= Limits.messageSizeMax, "\(message.count) bytes at once")
        appendLength(message.count + SecretStreamState.overhead, to: &output)
        sender?.push(message, into: &output)
    }

    /// Takes in bytes from the other side, cut anywhere. What they mean is appended to `events`, what
    /// is to be sent in turn to `output`.
    ///
    /// - Throws: what is wrong with the stream, now and for ever after; what came before the fault
    ///   has been appended.
    package mutating func receive(
        _ bytes: Span<UInt8>, events: inout [Event], output: inout [UInt8]
    ) throws(NoiseError) {
        var offset = 0
        var message: [UInt8] = []
        while let found = try next(in: bytes, from: &offset, into: &message, output: &output) {
            switch found {
            case .connected(let key, let hash):
                events.append(.connected(remotePublicKey: key, handshakeHash: hash))
            case .message:
                events.append(.message(message))
                message = []
            }
        }
    }

    /// Takes in bytes as `receive` does, up to the first that mean something. Where messages follow
    /// one another this needs no memory for each, since all go through the owner's one buffer.
    ///
    /// - Parameters:
    ///   - offset: into `bytes`; moved on past what was taken in.
    ///   - message: replaced by the message, if one is found; its memory is kept.
    /// - Returns: nil when all of `bytes` has been taken in.
    package mutating func next(
        in bytes: Span<UInt8>, from offset: inout Int, into message: inout [UInt8],
        output: inout [UInt8]
    ) throws(NoiseError) -> Found? {
        if let failure { throw failure }
        do {
            return try takeFrames(bytes, from: &offset, into: &message, output: &output)
        } catch {
            failure = error
            partialFrame = []
            throw error
        }
    }

    // MARK: Frames

    private static let lengthSize = 3

    private mutating func takeFrames(
        _ bytes: Span<UInt8>, from offset: inout Int, into message: inout [UInt8],
        output: inout [UInt8]
    ) throws(NoiseError) -> Found? {
        while !partialFrame.isEmpty && offset < bytes.count {
            let found = try completePartialFrame(
                from: bytes, at: &offset, into: &message, output: &output)
            if let found { return found }
        }
        // Whole frames are read where they lie.
        while bytes.count - offset >= Self.lengthSize {
            let start = offset + Self.lengthSize
            let size = try checkedLength(bytes.extracting(offset..<start))
            guard bytes.count - start >= size else { break }
            offset = start + size
            let found = try takeFrame(
                bytes.extracting(start..<offset), into: &message, output: &output)
            if let found { return found }
        }
        // A frame that is not whole: its bytes are copied once, here or as they come.
        appendPartial(bytes.extracting(offset..<bytes.count))
        offset = bytes.count
        return nil
    }

    /// Adds to the partial frame what it lacks and takes it once it is whole. An empty partial frame
    /// afterwards means that it was.
    private mutating func completePartialFrame(
        from bytes: Span<UInt8>, at offset: inout Int, into message: inout [UInt8],
        output: inout [UInt8]
    ) throws(NoiseError) -> Found? {
        var wanted = Self.lengthSize
        if partialFrame.count >= wanted {
            wanted += try checkedLength(partialFrame.span.extracting(first: Self.lengthSize))
        }
        let added = min(wanted - partialFrame.count, bytes.count - offset)
        appendPartial(bytes.extracting(offset..<(offset + added)))
        offset += added
        guard partialFrame.count >= Self.lengthSize else { return nil }
        let size = try checkedLength(partialFrame.span.extracting(first: Self.lengthSize))
        guard partialFrame.count == Self.lengthSize + size else { return nil }
        // Taken out, so that reading from it does not hold `self`.
        var frame: [UInt8] = []
        swap(&frame, &partialFrame)
        let found = try takeFrame(
            frame.span.extracting(droppingFirst: Self.lengthSize), into: &message,
            output: &output)
        guard frame.capacity <= Limits.keptBufferSizeMax else { return found }
        frame.removeAll(keepingCapacity: true)
        swap(&frame, &partialFrame)
        return found
    }

    private mutating func appendPartial(_ bytes: Span<UInt8>) {
        if !bytes.isEmpty { partialFrame.append(copying: bytes) }
    }

    /// The frame's length from its three bytes, refused before anything is buffered for it.
    private func checkedLength(_ bytes: Span<UInt8>) throws(NoiseError) -> Int {
        let size = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
        switch phase {
        case .handshake:
            guard size <= Limits.handshakeFrameSizeMax else {
                throw .frameTooLarge(size, limit: Limits.handshakeFrameSizeMax)
            }
        case .header:
            guard size == Self.headerFrameSize else { throw .badLength(size) }
        case .messages:
            guard size <= frameSizeMax else {
                throw .frameTooLarge(size, limit: frameSizeMax)
            }
            guard size >= SecretStreamState.overhead else { throw .badLength(size) }
        }
        return size
    }

    private mutating func takeFrame(
        _ frame: Span<UInt8>, into message: inout [UInt8], output: inout [UInt8]
    ) throws(NoiseError) -> Found? {
        switch phase {
        case .handshake: return try takeHandshake(frame, output: &output)
        case .header:
            try takeHeader(frame)
            return nil
        case .messages:
            message.removeAll(keepingCapacity: true)
            do {
                try receiver?.pull(frame, into: &message)
            } catch {
                throw NoiseError(error)
            }
            return message.isEmpty ? nil : .message
        }
    }

    // MARK: Handshake and header

    private static let headerFrameSize = Bytes32.count + SecretStreamState.headerSize

    private mutating func takeHandshake(
        _ frame: Span<UInt8>, output: inout [UInt8]
    ) throws(NoiseError) -> Found? {
        guard var handshake else { throw .unexpectedMessage }
        _ = try handshake.read(frame)
        if handshake.isOurTurn {
            let nothing: [UInt8] = []
            let message = try handshake.write(payload: nothing.span)
            appendFrame(message, to: &output)
        }
        guard let result = handshake.result, let remotePublicKey = result.remotePublicKey else {
            self.handshake = handshake
            return nil
        }
        // The keys of the handshake are not kept longer than it takes.
        self.handshake = nil
        session = result
        phase = .header
        sendHeader(into: &output)
        return .connected(
            remotePublicKey: remotePublicKey, handshakeHash: result.handshakeHash)
    }

    private mutating func sendHeader(into output: inout [UInt8]) {
        guard let session, sender == nil else { return }
        let id = StreamNames.streamID(handshakeHash: session.handshakeHash, sender: role)
        appendFrame(id.bytes + headerNonce, to: &output)
        sender = SecretStreamState(key: session.sendKey, header: headerNonce.span)
    }

    private mutating func takeHeader(_ frame: Span<UInt8>) throws(NoiseError) {
        guard let session, frame.count == Self.headerFrameSize else {
            throw .badLength(frame.count)
        }
        let expected = StreamNames.streamID(
            handshakeHash: session.handshakeHash, sender: role.other)
        guard Bytes32(frame.extracting(first: Bytes32.count)) == expected else {
            throw .wrongStream
        }
        receiver = SecretStreamState(
            key: session.receiveKey, header: frame.extracting(droppingFirst: Bytes32.count))
        phase = .messages
    }

    private func appendFrame(_ frame: [UInt8], to output: inout [UInt8]) {
        appendLength(frame.count, to: &output)
        output += frame
    }

    private func appendLength(_ size: Int, to output: inout [UInt8]) {
        output.append(UInt8(truncatingIfNeeded: size))
        output.append(UInt8(truncatingIfNeeded: size >> 8))
        output.append(UInt8(truncatingIfNeeded: size >> 16))
    }
}
