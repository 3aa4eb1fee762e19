#![forbid(unsafe_code)]
//! Rewrites what `tests/filetests` expects: outcomes from the host's processor where it can say, else from the
//! interpreter; counts of host instructions from the translator. `cargo xtask bless` runs it.

use std::path::Path;
use std::process::ExitCode;

use marquetry_difftest::filetest::{Runner, bless_dir};
use marquetry_difftest::native::Native;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("bless: {message}");
            ExitCode::from(2)
        }
    }
}

/// Rewrites the files, prints what became of them, and says whether every test could be run.
fn run() -> Result<bool, String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests");
    let mut runner = Runner::new().map_err(|error| error.to_string())?;
    let mut native =
        Native::new().inspect_err(|error| eprintln!("bless: without the host's processor: {error}")).ok();
    let all = bless_dir(&dir, &mut runner, native.as_mut())
        .map_err(|error| format!("{}: {error}", dir.display()))?;
    let (mut written, mut by_native, mut interpreted, mut problems) = (0, 0, 0, 0);
    for file in &all {
        let name = file.path.strip_prefix(&dir).unwrap_or(&file.path).display();
        if file.written {
            println!("tests/filetests/{name}: written");
        }
        for (line, problem) in &file.blessed.problems {
            eprintln!("tests/filetests/{name}:{line}: {problem}");
        }
        written += usize::from(file.written);
        by_native += file.blessed.native;
        interpreted += file.blessed.interpreted;
        problems += file.blessed.problems.len();
    }
    println!(
        "tests/filetests: {written} of {} files written; {by_native} outcomes are the host processor's, {interpreted} the \
         interpreter's",
        all.len()
    );
    Ok(problems == 0)
}
