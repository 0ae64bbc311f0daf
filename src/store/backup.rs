//! Backups of SQLite: a copy of everything at one moment, while a server goes on
//! working; and such a copy put in the place of the database.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sea_orm::sqlx::sqlite::SqliteConnectOptions;
use sea_orm::{ConnectionTrait, DbBackend};

use super::connect::{ConnectOptions, Store};
use super::error::StoreError;

/// Why there is no backup, or none was put in place.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is PostgreSQL's own tools that do this for PostgreSQL.
    #[error("this is for SQLite; use pg_dump and pg_restore for PostgreSQL")]
    NotSqlite,
    /// Nothing is overwritten.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A file can't be read or written.
    #[error("{}: {cause}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is no database of Bursar, or not whole.
    #[error("{} is no whole database of Bursar: {fault}", .path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// A server may be working on the database.
    #[error(
        "{} shows that a server works on the database, or was killed: stop it; if none runs, `bursar migrate` tidies up",
        .0.display()
    )]
    InUse(PathBuf),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Writes everything that is committed at this moment to a new file, which only
    /// its owner may read. The file has its name once it is whole.
    ///
    /// # Errors
    /// [`BackupError`]; then there is no such file.
    pub async fn back_up(&self, to: &Path) -> Result<(), BackupError> {
        if self.readers().get_database_backend() != DbBackend::Sqlite {
            return Err(BackupError::NotSqlite);
        }
        if to.exists() {
            return Err(BackupError::Exists(to.to_owned()));
        }
        let partial = beside(to, "partial");
        make_private(&partial)?;
        let written = self.copy_into(&partial).await;
        let placed = written.and_then(|()| place(&partial, to));
        if placed.is_err() {
            // What it failed for is told, not that this fails, too.
            let _ = fs::remove_file(&partial);
        }
        placed
    }

    async fn copy_into(&self, file: &Path) -> Result<(), BackupError> {
        let name = file.display().to_string().replace('\'', "''");
        self.readers().execute_unprepared(&format!("VACUUM INTO '{name}'")).await.map_err(StoreError::from)?;
        Ok(())
    }

    /// What is wrong with the file of this database, if anything is.
    async fn fault(&self) -> Result<Option<String>, StoreError> {
        let pages = self.readers().query_one_raw(statement("PRAGMA integrity_check(1)")).await?;
        let found = pages.map(|row| row.try_get_by_index::<String>(0)).transpose()?.unwrap_or_default();
        if found != "ok" {
            return Ok(Some(found));
        }
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'audit_entries'";
        let has_tables = self.readers().query_one_raw(statement(tables)).await?.is_some();
        Ok((!has_tables).then(|| "it has no audit log".to_owned()))
    }
}

/// Puts a backup in the place of a database that no server works on. One that is
/// there is moved aside if that is wished, and refused if not; says where to.
///
/// # Errors
/// [`BackupError`]; then the database is what it was.
pub async fn restore(from: &Path, options: &ConnectOptions, replace: bool) -> Result<Option<PathBuf>, BackupError> {
    if !options.url.starts_with("sqlite:") {
        return Err(BackupError::NotSqlite);
    }
    let database = SqliteConnectOptions::from_str(&options.url).map_err(|_| BackupError::NotSqlite)?;
    let database = database.get_filename().to_owned();
    let (log, aside) = (with_suffix(&database, "-wal"), beside(&database, "replaced"));
    let is_there = database.exists();
    if is_there && !replace {
        return Err(BackupError::Exists(database));
    }
    if log.exists() {
        return Err(BackupError::InUse(log));
    }
    if is_there && aside.exists() {
        return Err(BackupError::Exists(aside));
    }
    let partial = beside(&database, "partial");
    make_private(&partial)?;
    let checked = match fs::copy(from, &partial) {
        Ok(_) => check(from, &partial, options).await,
        Err(cause) => Err(BackupError::File { path: from.to_owned(), cause }),
    };
    if let Err(error) = checked {
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    if is_there {
        rename(&database, &aside)?;
    }
    place(&partial, &database)?;
    Ok(is_there.then_some(aside))
}

/// Whether a copy is a whole database.
async fn check(from: &Path, copy: &Path, options: &ConnectOptions) -> Result<(), BackupError> {
    let damaged = |fault: String| BackupError::Damaged { path: from.to_owned(), fault };
    let url = format!("sqlite://{}?mode=rw", copy.display());
    let store = Store::connect(&ConnectOptions { url, ..options.clone() }).await;
    let store = store.map_err(|error| damaged(error.to_string()))?;
    let fault = store.fault().await;
    store.close().await?;
    match fault {
        Ok(None) => Ok(()),
        Ok(Some(fault)) => Err(damaged(fault)),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn statement(sql: &'static str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(DbBackend::Sqlite, sql)
}

/// Makes an empty file that only its owner may read; what an earlier attempt left
/// is gone.
fn make_private(file: &Path) -> Result<(), BackupError> {
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    made.map(drop).map_err(|cause| BackupError::File { path: file.to_owned(), cause })
}

/// Gives a file that is written its name, so that a power cut leaves it whole.
fn place(partial: &Path, to: &Path) -> Result<(), BackupError> {
    sync(partial)?;
    rename(partial, to)?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync(folder.unwrap_or(Path::new(".")))
}

fn rename(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::rename(from, to).map_err(|cause| BackupError::File { path: to.to_owned(), cause })
}

fn sync(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|cause| BackupError::File { path: path.to_owned(), cause })
}

/// A file beside another one: its name, a point, and this.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    with_suffix(file, &format!(".{suffix}"))
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
