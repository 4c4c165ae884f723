// SQLite, and the parts of its interface that Swift cannot import: destructor constants that are casts.
#pragma once
#include <sqlite3.h>

/// `sqlite3_bind_blob64` with `SQLITE_TRANSIENT`: SQLite copies the bytes before it returns.
/// A null pointer binds an empty blob, not NULL.
static inline int holdfast_sqlite3_bind_blob_copied(
    sqlite3_stmt *_Nonnull statement, int index, const void *_Nullable bytes, sqlite3_uint64 count)
{
    return sqlite3_bind_blob64(statement, index, bytes ? bytes : "", count, SQLITE_TRANSIENT);
}

/// `sqlite3_bind_blob64` with `SQLITE_STATIC`: the bytes must stay where they are until the
/// binding is replaced or the statement is stepped for the last time.
static inline int holdfast_sqlite3_bind_blob_borrowed(
    sqlite3_stmt *_Nonnull statement, int index, const void *_Nullable bytes, sqlite3_uint64 count)
{
    return sqlite3_bind_blob64(statement, index, bytes ? bytes : "", count, SQLITE_STATIC);
}

/// `sqlite3_config` without memory statistics: they cost a lock at each allocation. Must come
/// before any other call; has no effect later.
static inline void holdfast_sqlite3_configure(void)
{
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}
