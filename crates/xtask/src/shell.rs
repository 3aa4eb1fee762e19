//! Running other programs and reading files, with messages that name the program or file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate lies two levels below the root")
}

/// A command that runs in the root of the workspace.
pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// `cargo` as the one that started this program, or the one in the path.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Runs a command with its output going where ours goes; whether it succeeded.
///
/// # Errors
/// It could not be started.
pub fn succeeds(command: &mut Command) -> Result<bool, String> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    Ok(status.success())
}

/// Runs a command and gives its standard output.
///
/// # Errors
/// It could not be started, or it failed: then with what it printed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(format!("{} failed: {}", line(command), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as it would be typed.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn not_started(command: &Command, error: &std::io::Error) -> String {
    format!("cannot run {}: {error}", line(command))
}

/// The text of a file, named from the root.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// Writes a file, named from the root.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &str, text: &str) -> Result<(), String> {
    std::fs::write(root().join(path), text).map_err(|error| format!("{path}: {error}"))
}

/// Directories that hold nothing of the repository's own.
const SKIPPED: [&str; 3] = ["target", ".git", "mutants.out"];

/// All files below `under`, named from the root, sorted.
///
/// # Errors
/// A directory cannot be read.
pub fn files(under: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut open = vec![root().join(under)];
    while let Some(directory) = open.pop() {
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                open.push(entry.path());
            } else if kind.is_file() {
                found.push(from_root(&entry.path()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn from_root(path: &Path) -> String {
    let relative: PathBuf = path.strip_prefix(root()).unwrap_or(path).to_path_buf();
    relative.to_string_lossy().into_owned()
}
