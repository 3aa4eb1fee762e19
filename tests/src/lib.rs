//! What the integration tests share: the guests of `guests/` with their expected results, and machines for them.
#![forbid(unsafe_code)]

pub mod code;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use engine::{EngineConfig, JitMode};
use machine::{BoardConfig, ByteSink, Machine};

/// One guest of the manifest with its quick run.
#[derive(Clone, Debug, Default)]
pub struct Guest {
    /// Name.
    pub name: String,
    /// Work of the quick run.
    pub n: u64,
    /// Further words of the command line.
    pub args: String,
    /// Whether it can also be run with `paging=1`.
    pub paging: bool,
    /// Result word of the quick run, as printed.
    pub result: String,
}

impl Guest {
    /// The image.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let path = guests_dir().join("bin").join(format!("{}.elf", self.name));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The guest's command lines: one, or one without and one with paging.
    #[must_use]
    pub fn command_lines(&self) -> Vec<String> {
        let plain = format!("n={} {}", self.n, self.args);
        if self.paging { vec![plain.clone(), format!("{plain} paging=1")] } else { vec![plain] }
    }
}

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests")
}

/// Every guest of the manifest.
///
/// # Panics
/// When the manifest or the expected results cannot be read.
#[must_use]
pub fn guests() -> Vec<Guest> {
    let read =
        |name: &str| std::fs::read_to_string(guests_dir().join(name)).expect("the file stands in guests/");
    let (manifest, expected) = (read("guests.toml"), read("expected.toml"));
    let mut guests: Vec<Guest> = manifest.split("[[guest]]").skip(1).map(guest).collect();
    for guest in &mut guests {
        let section = expected.split_once(&format!("[{}]", guest.name)).expect("every guest has a result").1;
        guest.result = value(section, "result").expect("every guest has a result");
    }
    guests
}

fn guest(text: &str) -> Guest {
    let needs_paging = value(text, "needs_paging").is_some_and(|value| value == "true");
    Guest {
        name: value(text, "name").expect("a guest has a name"),
        n: value(text, "n").and_then(|n| n.parse().ok()).expect("a guest has an amount of work"),
        args: value(text, "args").unwrap_or_default(),
        paging: !needs_paging && value(text, "paging").is_some_and(|value| value == "true"),
        result: String::new(),
    }
}

/// The value of the first line `key = value`.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split('=').next().is_some_and(|name| name.trim() == key))?;
    Some(line.split_once('=')?.1.trim().trim_matches('"').to_owned())
}

/// What a guest printed.
#[derive(Default)]
pub struct Output(Mutex<Vec<u8>>);

impl Output {
    /// As text.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.lock().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl ByteSink for Output {
    fn put(&self, byte: u8) {
        if let Ok(mut bytes) = self.0.lock() {
            bytes.push(byte);
        }
    }
}

/// A machine with the guest loaded, and its output.
///
/// # Panics
/// When the machine cannot be made or the guest not be loaded.
#[must_use]
pub fn machine(guest: &Guest, command_line: &str, config: EngineConfig) -> (Machine, Arc<Output>) {
    let output = Arc::new(Output::default());
    let sink = Arc::clone(&output) as Arc<dyn ByteSink>;
    let board = BoardConfig { debugcon: sink, ..BoardConfig::default() };
    let mut machine = Machine::new(board, config).expect("a machine");
    machine.load_bytes(&guest.name, &guest.image(), command_line).expect("the guest loads");
    (machine, output)
}

/// An engine that compiles everything before its first execution, on the processor's thread.
#[must_use]
pub fn translated() -> EngineConfig {
    EngineConfig { jit: JitMode::Sync, threshold: 0, ..EngineConfig::default() }
}
