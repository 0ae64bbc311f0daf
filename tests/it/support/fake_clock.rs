//! The clock of a process, which a test sets as somebody may set a machine's. What
//! measures lengths of time goes on as it did.

use std::path::{Path, PathBuf};
use std::process::Command;

use bursar::domain::ids::new_uuid;

/// A clock that is right until it is set.
pub struct FakeClock(PathBuf);

impl FakeClock {
    /// One whose setting is kept in a directory.
    pub fn new(directory: &Path) -> Self {
        let clock = Self(directory.join(format!("clock-{}", new_uuid())));
        clock.set(0);
        clock
    }

    /// So many seconds before or behind the right time, within a second.
    pub fn set(&self, seconds: i64) {
        // In one step: it may be read at any moment.
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    /// Makes it the clock of a process that is to be started.
    pub fn govern(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", &self.0)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

/// The library that stands between a process and its clock.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|folder| folder.path());
    folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file())
        .expect("install faketime, as .ci/check does")
}
