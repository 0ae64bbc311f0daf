//! Real data, which stays outside the repository.

use std::path::PathBuf;

/// A file of real data; `None`, told on standard error, where it is absent.
pub fn real(name: &str) -> Option<PathBuf> {
    let place = std::env::var("BURSAR_TEST_DATA").unwrap_or_else(|_| "../shared/data".to_owned());
    let file = PathBuf::from(place).join(name);
    if file.is_file() {
        return Some(file);
    }
    eprintln!("SKIPPED: {} is absent; BURSAR_TEST_DATA names the folder with real data", file.display());
    None
}
