//! The data folder: its one owner, its database file, how connections to it are made.

use super::schema;
use octollm_contract::names::{DATA_FOLDER_DATABASE, DATA_FOLDER_LOCK, DATA_FOLDER_WITHOUT_DATABASE};
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::{File, Permissions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Why a data folder could not be opened: one variant for each thing its owner can do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Stop the other process, or name another folder.
    #[error("the data folder {} is in use by another process", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// Use the version that wrote it, or a newer one.
    #[error("{file} was written by a newer version (schema {found}; this version knows {known})")]
    Newer {
        /// The database file.
        file: String,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// Name another folder: this file belongs to another program.
    #[error("{file} is a database of another program")]
    Foreign {
        /// The file.
        file: String,
    },
    /// Make the folder, or get the right to write in it.
    #[error("the data folder {} cannot be used", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database does not open: look at the disk, restore a copy.
    #[error("the database cannot be opened")]
    Database(#[from] rusqlite::Error),
    /// What it holds cannot be read: look at it, restore a copy.
    #[error("the database holds what this version cannot read")]
    Contents(#[source] crate::Backend),
}

/// What a committed change survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The loss of power: each commit waits for the disk.
    #[default]
    Full,
    /// The end of the process only; for stores that are thrown away, such as that of `run`.
    Process,
}

/// The right to a data folder: this process owns it until this is dropped.
pub struct Owner {
    _lock: File,
}

impl Owner {
    /// Takes a folder that is there.
    fn take(path: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { folder: path.to_owned(), source };
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(DATA_FOLDER_LOCK))
            .map_err(unusable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse { folder: path.to_owned() },
            TryLockError::Error(source) => unusable(source),
        })?;
        Ok(Owner { _lock: lock })
    }

    /// Takes the folder of a process whose tasks are in another store, and makes it if it is missing.
    /// It bears the marks of a data folder, so that no program of a step reads it.
    pub fn without_store(path: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { folder: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let owner = Owner::take(path)?;
        let mark = File::options().create(true).append(true).open(path.join(DATA_FOLDER_WITHOUT_DATABASE));
        mark.map(|_says_it_by_its_name| owner).map_err(unusable)
    }
}

/// A data folder that this process owns until it is dropped.
pub(super) struct Folder {
    database: PathBuf,
    durability: Durability,
    _owner: Owner,
}

impl Folder {
    /// Takes the folder, makes it if it is missing, and brings its database to the newest schema.
    pub(super) fn take(path: &Path, durability: Durability) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { folder: path.to_owned(), source };
        let made_in = parents_of_missing(path);
        std::fs::create_dir_all(path).map_err(unusable)?;
        let owner = Owner::take(path)?;
        let folder = Folder { database: path.join(DATA_FOLDER_DATABASE), durability, _owner: owner };
        folder.close_to_others().map_err(unusable)?;
        let connection = folder.writer()?;
        schema::migrate(&connection, &folder.database.display().to_string())?;
        if durability == Durability::Full {
            // The names of new files are durable too, and those of the folders on the way.
            for folder in made_in.into_iter().chain([path]) {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(unusable)?;
            }
        }
        Ok(folder)
    }

    /// The database is its owner's alone, in a folder that others may enter, too: it has the keys that step tokens are
    /// signed with. SQLite gives its log the database's mode; one that a version before has left keeps its own.
    fn close_to_others(&self) -> io::Result<()> {
        const OWN: u32 = 0o600;
        let database = File::options().append(true).create(true).mode(OWN).open(&self.database)?;
        let left = ["-wal", "-shm"].map(|end| {
            let mut name = self.database.clone().into_os_string();
            name.push(end);
            File::options().append(true).open(name)
        });
        for file in [database].into_iter().chain(left.into_iter().flatten()) {
            match file.set_permissions(Permissions::from_mode(OWN)) {
                // Another user's, who lets this one write: it is for him to say.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// The connection that writes. There is one at a time.
    pub(super) fn writer(&self) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        let synchronous = match self.durability {
            // Each commit is synced by `disk.rs`; what SQLite syncs itself is what a copy of the log needs.
            Durability::Full => "NORMAL",
            Durability::Process => "OFF",
        };
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = {LOG_PAGES};
             PRAGMA journal_size_limit = {LOG_BYTES_MAX};
             PRAGMA cache_size = -{WRITER_CACHE_KIB};
             PRAGMA temp_store = MEMORY;"
        ))?;
        Ok(connection)
    }

    /// The log of the connection that writes, which has read by now; none where nobody waits for the disk.
    pub(super) fn log(&self) -> Result<Option<File>, OpenError> {
        if self.durability == Durability::Process {
            return Ok(None);
        }
        let mut name = self.database.clone().into_os_string();
        name.push("-wal");
        File::options().write(true).open(name).map(Some).map_err(|source| self.unusable(source))
    }

    pub(super) fn unusable(&self, source: std::io::Error) -> OpenError {
        let folder = self.database.parent().unwrap_or(&self.database).to_owned();
        OpenError::Folder { folder, source }
    }

    /// A connection that reads.
    pub(super) fn reader(&self) -> Result<Connection, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.database, flags)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch(&format!(
            "PRAGMA cache_size = -{READER_CACHE_KIB}; PRAGMA temp_store = MEMORY;"
        ))?;
        Ok(connection)
    }
}

/// The folders that get a new entry when `path` is made with all its parents, the lowest first.
fn parents_of_missing(path: &Path) -> Vec<&Path> {
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let parents = missing.filter_map(Path::parent);
    parents.map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).collect()
}

/// The log (WAL) is copied into the database when it has grown to so many pages. Fewer: pages that change
/// often are copied often. More: the sync at the end is a longer wait.
pub(super) const LOG_PAGES: u32 = 14_000;
/// The log's file is cut to this when it begins anew: a little more than it has by then, for a file that
/// grows again costs each sync a commit of the file system.
const LOG_BYTES_MAX: u32 = 64 << 20;
const WRITER_CACHE_KIB: u32 = 16 << 10;
const READER_CACHE_KIB: u32 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_on_the_way_gets_its_name_synced() {
        let there = tempfile::tempdir().unwrap();
        let there = there.path();
        assert_eq!(parents_of_missing(there), Vec::<&Path>::new());
        assert_eq!(parents_of_missing(&there.join("a")), [there]);
        assert_eq!(parents_of_missing(&there.join("a/b/c")), [&there.join("a/b"), &there.join("a"), there]);
        assert_eq!(parents_of_missing(Path::new("not-made-yet")), [Path::new(".")]);
    }
}
