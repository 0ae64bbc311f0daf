//! The profile: where a person's server is, and the key to show it.

use std::error::Error;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use serde::Deserialize;

use crate::config::client_variable;

/// What a profile file says.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// The server.
    pub(super) address: Option<String>,
    /// The key.
    pub(super) key: Option<String>,
    /// The authorities that sign the server's certificate, as PEM.
    pub(super) ca: Option<PathBuf>,
    /// The certificate to show, as PEM.
    pub(super) certificate: Option<PathBuf>,
    /// The private key of it, as PEM.
    pub(super) certificate_key: Option<PathBuf>,
}

impl Profile {
    /// Reads the file that a flag or `BURSAR_PROFILE` names, else the one in the
    /// person's directory of settings, if there is one.
    ///
    /// # Errors
    /// In words, what is wrong with it: above all, that others may read it.
    pub(super) fn read(named: Option<&String>) -> Result<Self, Box<dyn Error>> {
        let named = named.cloned().or_else(|| client_variable("BURSAR_PROFILE")).map(PathBuf::from);
        match named.or_else(|| usual_place().filter(|path| path.exists())) {
            Some(path) => Self::of_file(&path),
            None => Ok(Self::default()),
        }
    }

    fn of_file(path: &Path) -> Result<Self, Box<dyn Error>> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("can't read the profile {shown}: {error}"))?;
        if is_open_to_others(path)? {
            return Err(format!("others may read the profile {shown}, which holds a key: chmod 600 {shown}").into());
        }
        Ok(Figment::from(Toml::string(&text)).extract().map_err(|error| format!("in the profile {shown}: {error}"))?)
    }
}

fn usual_place() -> Option<PathBuf> {
    let directory = client_variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let directory = directory.or_else(|| client_variable("HOME").map(|home| Path::new(&home).join(".config")));
    directory.map(|directory| directory.join("bursar").join("profile.toml"))
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> std::io::Result<bool> {
    Ok(false)
}
