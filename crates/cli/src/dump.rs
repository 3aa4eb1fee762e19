//! Files about translations: the map for Linux perf and the listings of `--dump`.

use std::fmt::Write as _;
use std::path::Path;

use engine::Engine;

use crate::args::Dump;

/// Most translations that a map or listing names.
const MOST: usize = 1 << 20;

/// Writes `/tmp/perf-PID.map`, by which Linux perf names translations.
///
/// # Errors
/// The file that cannot be written, and why.
pub fn perf_map(engine: &Engine) -> Result<(), String> {
    let mut text = String::new();
    for unit in engine.translations().iter().take(MOST) {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{:x} {:x} guest_{:08x}", unit.entry, unit.bytes, unit.eip);
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    std::fs::write(&path, text).map_err(|error| format!("{path}: {error}"))
}

/// Compiles every live translation once more and writes what it is made of.
///
/// # Errors
/// The file that cannot be written, and why.
pub fn listings(engine: &mut Engine, what: &[Dump], directory: &Path) -> Result<(), String> {
    let write = |name: String, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
    };
    std::fs::create_dir_all(directory).map_err(|error| {
        format!("{}: {error}; name a directory that can be written (--dump-dir)", directory.display())
    })?;
    for (eip, listing) in engine.listings() {
        if what.contains(&Dump::Insn) {
            write(format!("{eip:08x}.insn"), &listing.insns)?;
        }
        if what.contains(&Dump::Clif) {
            write(format!("{eip:08x}.clif"), &listing.clif)?;
        }
        if what.contains(&Dump::Asm) {
            write(format!("{eip:08x}.asm"), &listing.asm)?;
        }
    }
    Ok(())
}
