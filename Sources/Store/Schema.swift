internal import Base

/// The tables of a share's database, and how older ones become these.
///
/// Operation identities are positive 63-bit row ids. What is not searched by lies in one opaque
/// `payload` whose layout FileTree knows. SQLite's `user_version` has the version.
enum Schema {
    static let version: Int64 = 1

    /// Step `n` leads from version `n + 1` to version `n + 2`. A step that changes only tables of the
    /// view may empty them instead: the engine replays the logs into an empty view.
    static let migrations: [String] = []

    static let tables = """
        CREATE TABLE value (name BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

        CREATE TABLE log (
            slot INTEGER PRIMARY KEY, key BLOB NOT NULL, manifest BLOB NOT NULL,
            length INTEGER NOT NULL, byte_length INTEGER NOT NULL, fork INTEGER NOT NULL,
            signature BLOB NOT NULL, contiguous_length INTEGER NOT NULL);
        CREATE TABLE node (
            slot INTEGER NOT NULL, position INTEGER NOT NULL, size INTEGER NOT NULL,
            hash BLOB NOT NULL, PRIMARY KEY (slot, position)) WITHOUT ROWID;
        CREATE TABLE block (
            slot INTEGER NOT NULL, position INTEGER NOT NULL, bytes BLOB NOT NULL,
            PRIMARY KEY (slot, position)) WITHOUT ROWID;

        CREATE TABLE writer (slot INTEGER PRIMARY KEY, key BLOB NOT NULL);
        CREATE TABLE applied_log (
            slot INTEGER PRIMARY KEY, blocks INTEGER NOT NULL, codec_state BLOB NOT NULL);
        CREATE TABLE staged (node INTEGER PRIMARY KEY, record BLOB NOT NULL);
        CREATE TABLE wanted (
            number INTEGER PRIMARY KEY, address BLOB NOT NULL UNIQUE, key BLOB NOT NULL,
            length INTEGER NOT NULL, is_list INTEGER NOT NULL);

        CREATE TABLE object (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY, object INTEGER NOT NULL, shown_parent INTEGER,
            name BLOB NOT NULL, holds_name INTEGER NOT NULL, payload BLOB NOT NULL);
        CREATE INDEX entry_shown ON entry (shown_parent, name) WHERE shown_parent IS NOT NULL;
        CREATE INDEX entry_object ON entry (object);
        CREATE TABLE version (
            id INTEGER PRIMARY KEY, object INTEGER NOT NULL, is_head INTEGER NOT NULL,
            payload BLOB NOT NULL);
        CREATE INDEX version_object ON version (object, is_head);
        CREATE TABLE xattr (
            object INTEGER NOT NULL, name BLOB NOT NULL, payload BLOB NOT NULL,
            PRIMARY KEY (object, name)) WITHOUT ROWID;
        CREATE TABLE move (
            time INTEGER NOT NULL, id INTEGER NOT NULL, payload BLOB NOT NULL,
            PRIMARY KEY (time, id)) WITHOUT ROWID;
        CREATE TABLE conflict (
            parent INTEGER NOT NULL, name BLOB NOT NULL, entry INTEGER NOT NULL,
            version INTEGER NOT NULL, shown_name BLOB NOT NULL, node INTEGER NOT NULL,
            kind INTEGER NOT NULL, PRIMARY KEY (parent, name, entry, version)) WITHOUT ROWID;
        CREATE INDEX conflict_shown ON conflict (parent, shown_name);
        CREATE TABLE tree_state (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
        """

    /// What the view can be made again without.
    static let viewTables = [
        "object", "entry", "version", "xattr", "move", "conflict", "tree_state", "applied_log",
        "wanted",
    ]

    /// Makes or updates the tables, in one transaction.
    static func prepare(_ connection: SQLiteConnection) throws(StorageError) {
        let found = try connection.prepare("PRAGMA user_version").first {
            row throws(StorageError) in row.integer(0)
        }
        try connection.commit()
        guard let found, found != version else { return }
        guard found < version else {
            throw .corrupt(
                what: "\(connection.path) was written by a later Holdfast (version \(found) of its"
                    + " tables, this program knows \(version)): install that one")
        }
        let steps = found == 0 ? [tables] : Array(migrations[Int(max(found - 1, 0))...])
        let script = steps.joined(separator: ";\n")
        try connection.execute("BEGIN; \(script); PRAGMA user_version = \(version); COMMIT")
    }
}
