//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use engine::JitMode;

/// An x86 emulator whose guest code is compiled with Cranelift, over a memory model with QEMU's semantics.
#[derive(Debug, Parser)]
#[command(name = "marq", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "Exit status of `run`: the guest's own, by isa-debug-exit (value * 2 + 1, always odd); \
2 wrong option or input; 4 triple fault; 6 halted for good; 8 --max-instructions reached; 10 part of the \
processor that is not built; 70 bug in marq; 130 Ctrl-C. `bench`: 1 bound missed, 2 row without figure. \
`diff`: 1 difference found.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a guest image (without one: an embedded guest).
    Run(RunArgs),
    /// Compare speed with QEMU, native code and the interpreter.
    Bench(BenchArgs),
    /// Look for differences between the executors, or between them and the host's processor.
    #[command(subcommand)]
    Diff(DiffCommand),
    /// Show what becomes of guest bytes: decoded instruction, Cranelift function, host code.
    Explain(ExplainArgs),
    /// Show the memory map of a board or of a map file, explain an address, compare two maps.
    Mtree(MtreeArgs),
    /// List the embedded guests.
    Guests,
}

/// When guest code is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Jit {
    /// At once, on the processor's thread.
    Sync,
    /// On a second thread, while the guest is interpreted.
    Background,
    /// Never: interpreter only.
    Off,
}

impl Jit {
    /// The word for the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Background => "background",
            Self::Off => "off",
        }
    }

    /// The engine's word.
    #[must_use]
    pub const fn mode(self) -> JitMode {
        match self {
            Self::Sync => JitMode::Sync,
            Self::Background => JitMode::Background,
            Self::Off => JitMode::Off,
        }
    }
}

/// Form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Arguments of `marq run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// ELF32 or multiboot image.
    pub image: Option<PathBuf>,
    /// Run an embedded guest by name (see `marq guests`).
    #[arg(long, conflicts_with = "image")]
    pub guest: Option<String>,
    /// Command line handed to the guest.
    #[arg(long, default_value = "")]
    pub append: String,
    /// When guest code is compiled.
    #[arg(long, value_enum, default_value = "background")]
    pub jit: Jit,
    /// Guest RAM, in MiB or with suffix K, M or G.
    #[arg(short = 'm', long, default_value = "64M", value_parser = parse_size)]
    pub memory: u64,
    /// Stop after this many instructions.
    #[arg(long, value_name = "N")]
    pub max_instructions: Option<u64>,
    /// Executions of a block before it is compiled.
    #[arg(long, value_name = "N")]
    pub threshold: Option<u32>,
    /// Code memory in MiB or with suffix.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub code_cache: Option<u64>,
    /// Most guest instructions in a unit.
    #[arg(long, value_name = "N")]
    pub unit_limit: Option<usize>,
    /// Print counts and times at the end, on standard error. Times but those of compiling are estimated: a thread looks
    /// a thousand times a second at what is in progress.
    #[arg(long)]
    pub stats: bool,
    /// Form of the counts.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Write a map of the translations for Linux perf to /tmp/perf-PID.map.
    #[arg(long, value_enum)]
    pub perf: Option<Perf>,
    /// Write what is compiled to files below --dump-dir.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub dump: Vec<Dump>,
    /// Where --dump writes.
    #[arg(long, default_value = "marq-dump")]
    pub dump_dir: PathBuf,
    /// Unassigned memory reads as zeros, as in QEMU, and not as ones.
    #[arg(long)]
    pub unassigned_zeros: bool,
}

/// Profiler interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Perf {
    /// A perf map file.
    Map,
}

/// Texts of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Dump {
    /// Decoded instructions.
    Insn,
    /// Cranelift's form.
    Clif,
    /// Host code.
    Asm,
}

/// Arguments of `marq bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Compare with this emulator too.
    #[arg(long, value_enum)]
    pub vs: Option<Rival>,
    /// Only guests whose name contains this.
    #[arg(long)]
    pub filter: Option<String>,
    /// Form of the report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Paired runs of each guest.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// When guest code is compiled.
    #[arg(long, value_enum, default_value = "background")]
    pub jit: Jit,
    /// Directory with the native builds of the guests (guests/build.sh --natives DIR).
    #[arg(long)]
    pub natives: Option<PathBuf>,
    /// Also measure the interpreter.
    #[arg(long)]
    pub interp: bool,
}

impl BenchArgs {
    /// Whether QEMU is measured.
    #[must_use]
    pub fn vs_qemu(&self) -> bool {
        self.vs == Some(Rival::Qemu)
    }
}

/// What speed is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rival {
    /// qemu-system-i386 with TCG.
    Qemu,
}

/// Subcommands of `marq diff`.
#[derive(Debug, Subcommand)]
pub enum DiffCommand {
    /// Interpreter against translated code.
    Lockstep(LockstepArgs),
    /// Interpreter and translated code against the host's processor.
    Native(NativeArgs),
}

/// Arguments of `marq diff lockstep`.
#[derive(Args, Debug)]
pub struct LockstepArgs {
    /// Random programs by seed, as A..B.
    #[arg(long, value_parser = parse_seeds, required_unless_present_any = ["guest", "image"])]
    pub seeds: Option<(u64, u64)>,
    /// An embedded guest.
    #[arg(long)]
    pub guest: Option<String>,
    /// Command line handed to the guest.
    #[arg(long, default_value = "n=1")]
    pub append: String,
    /// A guest image.
    pub image: Option<PathBuf>,
    /// When guest code is compiled.
    #[arg(long, value_enum, default_value = "sync")]
    pub jit: Jit,
    /// Code memory in MiB or with suffix.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub code_cache: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
}

/// Arguments of `marq diff native`.
#[derive(Args, Debug)]
pub struct NativeArgs {
    /// Register and flag states for each instruction form.
    #[arg(long, default_value_t = 200)]
    pub states: u32,
    /// Seed of the states.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `marq explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The bytes, in hexadecimal.
    #[arg(required = true)]
    pub bytes: Vec<String>,
    /// With paging on.
    #[arg(long)]
    pub paging: bool,
}

/// Arguments of `marq mtree`.
#[derive(Args, Debug)]
pub struct MtreeArgs {
    /// A map file, in TOML or (*.json) in JSON; see docs/MAPS.md.
    pub map: Option<PathBuf>,
    /// A board.
    #[arg(long, default_value = "bare", conflicts_with = "map")]
    pub board: String,
    /// The flat views and not the tree.
    #[arg(long)]
    pub flat: bool,
    /// Show disabled regions and what is below them, too.
    #[arg(long)]
    pub disabled: bool,
    /// Form of what is shown.
    #[arg(long, value_enum, default_value = "text")]
    pub format: MapFormat,
    /// Say why an address (1048576, 0x100000, 1M) leads where it leads.
    #[arg(long, value_name = "ADDR", value_parser = parse_address, conflicts_with_all = ["flat", "diff"])]
    pub explain: Option<u64>,
    /// List what another map (a file or a board) shows otherwise.
    #[arg(long, value_name = "OTHER")]
    pub diff: Option<String>,
    /// The address space; without it --flat and --diff show all, --explain and --format svg the first.
    #[arg(long, value_name = "NAME")]
    pub space: Option<String>,
}

/// Form of a memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MapFormat {
    /// As QEMU's `info mtree` prints it.
    Text,
    /// A map file with the flat views, for programs.
    Json,
    /// A map file.
    Toml,
    /// The graph, for Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// Turns QEMU's spellings with one dash (`-kernel FILE`, `-append TEXT`) into ours.
pub fn legacy(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut out = Vec::new();
    for arg in args {
        match arg.to_str() {
            Some("-append") => out.push("--append".into()),
            // The image is a positional argument.
            Some("-kernel") => {}
            Some("-nographic") => {}
            _ => out.push(arg),
        }
    }
    out
}

/// A size: a number of MiB, or of what its suffix says.
fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 20),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size; write 64M, 512K or 1G"))?;
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or_else(|| format!("{text:?} is out of range"))
}

/// An address, as map files write it.
fn parse_address(text: &str) -> Result<u64, String> {
    let address = machine::mapfile::number(text).and_then(|number| u64::try_from(number).ok());
    address.ok_or_else(|| format!("{text:?} is no address; write 1048576, 0x100000 or 1M"))
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let fix = || format!("{text:?} is no range of seeds; write 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(fix)?;
    let range = (from.parse().map_err(|_| fix())?, to.parse().map_err(|_| fix())?);
    if range.0 < range.1 { Ok(range) } else { Err(fix()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_seeds() {
        assert_eq!(parse_size("64"), Ok(64 << 20));
        assert_eq!(parse_size("1G"), Ok(1 << 30));
        assert_eq!(parse_size("512k"), Ok(512 << 10));
        for wrong in ["", "M", "0", "-1", "99999999999999999999", "18446744073709551615G"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_seeds("3..9"), Ok((3, 9)));
        assert!(parse_seeds("9..3").is_err() && parse_seeds("3").is_err());
    }
}
