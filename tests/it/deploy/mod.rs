//! What is handed to whoever runs it. `.ci/check` installs the tools.

mod chart;
mod monitoring;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::text;

/// The folder with what is handed out.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// A tool that `.ci/check` puts into the target folder.
fn tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name);
    assert!(path.exists(), "there is no {}: .ci/check installs it", path.display());
    path
}

/// What a tool writes.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
