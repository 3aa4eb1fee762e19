//! `marq run`: runs a guest until it ends.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::{EngineConfig, Stop};
use machine::{BoardConfig, ByteSink, Machine};
use memory::UnassignedPolicy;

use crate::args::{Format, Jit, Perf, RunArgs};
use crate::guests;
use crate::looks::Watch;
use crate::out;
use crate::outcome::{Outcome, status};
use crate::progress::Progress;

/// The guest that runs without an image, and the work that it is given.
const EMBEDDED: (&str, &str) = ("sha256", "n=300");
/// Instructions that the interpreter gets for the closing line's ratio.
const SAMPLE: u64 = 20_000_000;

/// Standard output, flushed after each line.
pub struct Console(Mutex<Vec<u8>>);

impl Console {
    /// A console with nothing written.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Vec::new())))
    }

    /// Writes out what is held back.
    pub fn flush(&self) {
        if let Ok(mut held) = self.0.lock() {
            let mut out = std::io::stdout().lock();
            // Output that nobody takes is dropped, as a serial line drops it.
            let _written = out.write_all(&held).and_then(|()| out.flush());
            held.clear();
        }
    }
}

impl ByteSink for Console {
    fn put(&self, byte: u8) {
        let full = self.0.lock().is_ok_and(|mut held| {
            held.push(byte);
            byte == b'\n' || held.len() >= 4096
        });
        if full {
            self.flush();
        }
    }
}

fn engine_config(args: &RunArgs, jit: Jit) -> EngineConfig {
    let defaults = EngineConfig::default();
    EngineConfig {
        jit: jit.mode(),
        threshold: args.threshold.unwrap_or(defaults.threshold),
        code_bytes: args.code_cache.map_or(defaults.code_bytes, |bytes| bytes as usize),
        unit_limit: args.unit_limit.unwrap_or(defaults.unit_limit),
        ..defaults
    }
}

fn board_config(args: &RunArgs, console: &Arc<Console>) -> BoardConfig {
    let unassigned = if args.unassigned_zeros { UnassignedPolicy::Zeros } else { UnassignedPolicy::Ones };
    let sink = Arc::clone(console) as Arc<dyn ByteSink>;
    BoardConfig { ram_bytes: args.memory, serial: Arc::clone(&sink), debugcon: sink, unassigned }
}

/// The image to run: name, bytes and command line.
enum Image<'a> {
    File(&'a Path, String),
    Embedded(&'static guests::Guest, String),
}

impl<'a> Image<'a> {
    fn of(args: &'a RunArgs) -> Result<Self, String> {
        match (&args.image, &args.guest) {
            (Some(path), _) => Ok(Self::File(path, args.append.clone())),
            (None, Some(name)) => Ok(Self::Embedded(guests::find(name)?, args.append.clone())),
            (None, None) => {
                let append = if args.append.is_empty() { EMBEDDED.1.to_owned() } else { args.append.clone() };
                Ok(Self::Embedded(guests::find(EMBEDDED.0)?, append))
            }
        }
    }

    fn load(&self, machine: &mut Machine) -> Result<(), String> {
        match self {
            Self::File(path, append) => machine.load(path, append),
            Self::Embedded(guest, append) => machine.load_bytes(guest.name, guest.image, append),
        }
        .map(drop)
        .map_err(|error| error.to_string())
    }
}

/// Runs the guest.
///
/// # Errors
/// A sentence for people: an image that cannot be loaded, or a host that gives no memory.
pub fn run(args: &RunArgs) -> Result<Outcome, String> {
    let image = Image::of(args)?;
    let console = Console::new();
    let mut machine = Machine::new(board_config(args, &console), engine_config(args, args.jit))
        .map_err(|e| e.to_string())?;
    image.load(&mut machine)?;
    stop_on_interrupt(&machine.stop_flag())?;
    let watch = if args.stats { Some(watch(&machine)?) } else { None };
    let started = Instant::now();
    let progress = Progress::start("running for", started);
    let stop = machine.run(args.max_instructions);
    drop(progress);
    let elapsed = started.elapsed();
    let looks = watch.map(Watch::stop);
    console.flush();
    if let Some(looks) = looks {
        eprint!("{}", crate::report::stats(machine.engine(), elapsed, &looks, args.format));
        if args.format == Format::Json {
            eprintln!();
        }
    }
    if args.perf == Some(Perf::Map) {
        crate::dump::perf_map(machine.engine())?;
    }
    if !args.dump.is_empty() {
        crate::dump::listings(machine.engine_mut(), &args.dump, &args.dump_dir)?;
    }
    if args.image.is_none() && args.guest.is_none() {
        closing_line(args, &image, &machine, elapsed)?;
        if matches!(stop, Stop::Exit(1)) {
            return Ok(Outcome::OK);
        }
    }
    Ok(ended(&machine, &stop))
}

/// A watch over what the machine does.
fn watch(machine: &Machine) -> Result<Watch, String> {
    Watch::start(machine.engine().activity())
        .map_err(|error| format!("the host gives no thread for --stats: {error}; leave it out"))
}

/// Instructions, time, and how much faster than the interpreter.
fn closing_line(
    args: &RunArgs,
    image: &Image<'_>,
    machine: &Machine,
    elapsed: Duration,
) -> Result<(), String> {
    let instructions = machine.engine().cpu().instructions();
    // It runs for its speed alone: its output would only repeat the guest's.
    let silent = BoardConfig { ram_bytes: args.memory, ..BoardConfig::default() };
    let mut slow = Machine::new(silent, engine_config(args, Jit::Off)).map_err(|e| e.to_string())?;
    image.load(&mut slow)?;
    let started = Instant::now();
    slow.run(Some(SAMPLE));
    let slow_rate = slow.engine().cpu().instructions() as f64 / started.elapsed().as_secs_f64();
    let rate = instructions as f64 / elapsed.as_secs_f64();
    out::line(&format!(
        "{instructions} instructions in {:.3} s, {:.0} million a second: {:.1} times as fast as the interpreter",
        elapsed.as_secs_f64(),
        rate / 1e6,
        rate / slow_rate
    ));
    Ok(())
}

/// What is said at the end, and the exit status.
fn ended(machine: &Machine, stop: &Stop) -> Outcome {
    let cpu = machine.engine().cpu();
    let at = |eip: u32| format!("at EIP {eip:#010x}{}", place(machine, eip));
    let so_far = || format!("after {} instructions {}", cpu.instructions(), at(cpu.state.eip));
    let (message, code) = match stop {
        Stop::Exit(status) => return Outcome::status(*status),
        Stop::Limit => {
            (format!("stopped {}; raise --max-instructions to go further", so_far()), status::LIMIT)
        }
        Stop::Requested => (format!("stopped by Ctrl-C {}", so_far()), status::INTERRUPTED),
        Stop::Shutdown(eip) => (
            format!(
                "triple fault {}: an exception found no handler; check the guest's IDT and stack",
                at(*eip)
            ),
            status::SHUTDOWN,
        ),
        Stop::Halted(eip) => (
            format!(
                "halted for good before EIP {eip:#010x}: nothing can end the HLT; end the guest by port f4"
            ),
            status::HALTED,
        ),
        Stop::Unsupported(eip, what) => (
            format!("the instruction {} needs {what}, which is not built; change the guest", at(*eip)),
            status::UNSUPPORTED,
        ),
        Stop::Panicked(eip) => {
            (format!("bug in marquetry near EIP {eip:#010x}; please report it"), status::BUG)
        }
    };
    eprintln!("marq: {message}");
    Outcome::status(code)
}

/// Where an EIP lies, when it is no memory that code can reasonably run from.
fn place(machine: &Machine, eip: u32) -> String {
    let cpu = machine.engine().cpu();
    let Some(pa) = cpu.mmu.debug_translate(base::LinearAddr(eip)) else {
        return ", in a page that is not present".to_owned();
    };
    match machine.memory().view().lookup(pa.0) {
        None => ", in unassigned memory".to_owned(),
        Some(range) => match range.read {
            memory::Target::Host(_) => String::new(),
            memory::Target::Unassigned => ", in unassigned memory".to_owned(),
            memory::Target::Discard | memory::Target::Call(_) | memory::Target::Translate(_) => {
                format!(", in the device {:?}", range.name())
            }
        },
    }
}

/// The first Ctrl-C asks the guest to stop; the terminal's modes are never changed.
fn stop_on_interrupt(flag: &Arc<AtomicBool>) -> Result<(), String> {
    let flag = Arc::clone(flag);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(status::INTERRUPTED);
        }
    })
    .map_err(|error| format!("Ctrl-C cannot be caught: {error}"))
}
