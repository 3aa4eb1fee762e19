//! Runs tests on both executors and compares with the text.

use std::fmt;
use std::path::{Path, PathBuf};

use cpu::eflags;
use engine::Stop;
use iced_x86::{Decoder, DecoderOptions};
use isa::DecodeMode;
use jit::{CodeBytes, Compiler, Handling, OptLevel, TranslateError, UnitMode, UnitRequest};

use super::parse::{FileTest, InsnTest, Mode, TestCase, parse};
use super::values::{FLAGS, GPRS, SEGS, Values};
use super::{CODE, STACK};
use crate::disasm;
use crate::lockstep::{LockstepConfig, Pair};
use crate::program::{Program, Variant, at, gate, has_error_code, put};
use crate::snapshot::Snapshot;
use crate::subject::SubjectError;

/// RAM up to the end of the native window.
const RAM_BYTES: u64 = 0x0040_3000;
/// A handler for each exception: HLT, at intervals of this many bytes.
const HANDLER_BYTES: u32 = 0x10;
/// Fills the code around the instruction: HLT ends a translation.
const FILL: u8 = 0xf4;
/// Names of exceptions by vector, as in the manual.
const EXCEPTIONS: [&str; 20] = [
    "de", "db", "nmi", "bp", "of", "br", "ud", "nm", "df", "9", "ts", "np", "ss", "gp", "pf", "15", "mf",
    "ac", "mc", "xm",
];

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line in the file.
    pub line: usize,
    /// What differs.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// What an instruction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub gpr: [u32; 8],
    pub selectors: [u16; 6],
    pub eip: u32,
    pub eflags: u32,
    pub exception: Option<String>,
    /// Changed bytes by address, but for an exception's frame.
    pub memory: Vec<(u32, Vec<u8>)>,
}

/// Runs tests.
pub struct Runner {
    pair: Pair,
    compiler: Compiler,
}

impl Runner {
    /// A runner with its own two executors.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn new() -> Result<Self, SubjectError> {
        let config = LockstepConfig { counted: false, ..LockstepConfig::default() };
        let pair = Pair::with_ram(&config, RAM_BYTES)?;
        Ok(Self { pair, compiler: Compiler::fixed(OptLevel::None) })
    }

    /// Runs all tests of a file.
    pub fn run(&mut self, tests: &FileTest) -> Vec<Failure> {
        tests.insns.iter().flat_map(|insn| self.run_insn(insn)).collect()
    }

    fn run_insn(&mut self, insn: &InsnTest) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut fail = |line, message| failures.push(Failure { line, message });
        let text = disasm::text(&insn.bytes, CODE, true);
        if text != insn.text {
            fail(insn.line, format!("the bytes are \"{text}\", not \"{}\"", insn.text));
        }
        let decoded = isa::decode(&insn.bytes, CODE, DecodeMode { code32: true });
        if decoded.map(|decoded| usize::from(decoded.len)) != Ok(insn.bytes.len()) {
            fail(insn.line, "the bytes are not exactly one instruction".to_owned());
            return failures;
        }
        match (insn.host_insns, self.host_insns(insn)) {
            (Some(expected), Ok(Some(found))) if expected != found => {
                fail(insn.line, format!("{found} host instructions, not {expected}"));
            }
            (Some(_), Ok(None)) => fail(insn.line, "is not translated at all".to_owned()),
            (_, Err(error)) => fail(insn.line, error.to_string()),
            (None, Ok(_)) | (Some(_), Ok(Some(_))) => {}
        }
        for case in &insn.cases {
            match self.outcome(insn, &case.input) {
                Ok(outcome) => {
                    let differences = outcome.differences(insn, case);
                    failures
                        .extend(differences.into_iter().map(|message| Failure { line: case.line, message }));
                }
                Err(message) => failures.push(Failure { line: case.line, message }),
            }
        }
        failures
    }

    /// Host instructions of the translation of the instruction alone; `None` when the interpreter runs it.
    pub(super) fn host_insns(&mut self, insn: &InsnTest) -> Result<Option<u32>, TranslateError> {
        let decoded = isa::decode(&insn.bytes, CODE, DecodeMode { code32: true });
        if decoded.is_ok_and(|decoded| jit::handling(&decoded) != Handling::Emit) {
            return Ok(None);
        }
        let request = UnitRequest {
            entry: CODE,
            mode: UnitMode { paging: false, flat: true },
            code: CodeBytes { start: CODE, bytes: [&insn.bytes[..], &[FILL; 16]].concat() },
            site_base: 0,
            range: Some(jit::RamRange { start: 0, len: 64 << 20 }),
            windowed: Default::default(),
            slow: Default::default(),
            ungrouped: Default::default(),
            likely: Default::default(),
            limit: 16,
            counted: false,
        };
        match self.compiler.compile(&request) {
            Ok(unit) => Ok(Some(count_instructions(&unit.code))),
            Err(TranslateError::NothingToTranslate(_)) => Ok(None),
            Err(error @ (TranslateError::Refused { .. } | TranslateError::NoCodeMemory(_))) => Err(error),
        }
    }

    /// Runs the instruction on both executors.
    pub(super) fn outcome(&mut self, insn: &InsnTest, input: &Values) -> Result<Outcome, String> {
        let program = program(insn, input);
        self.pair.load(&program);
        let (snapshot, stop) = self.pair.run_to(1).map_err(|differences| {
            format!("the interpreter and translated code differ: {}", differences.join("; "))
        })?;
        match stop {
            Stop::Limit | Stop::Halted(_) => Ok(Outcome::of(&program, &snapshot, self.pair.ram())),
            Stop::Exit(_)
            | Stop::Shutdown(_)
            | Stop::Unsupported(..)
            | Stop::Requested
            | Stop::Panicked(_) => Err(format!("the run ended with {stop:?}")),
        }
    }
}

/// Host instructions in `code`, without what stands behind the last one.
fn count_instructions(code: &[u8]) -> u32 {
    let decoder = Decoder::new(64, code, DecoderOptions::NONE);
    decoder.into_iter().take_while(|instruction| !instruction.is_invalid()).count() as u32
}

/// A program of one instruction in the state of `input`.
fn program(insn: &InsnTest, input: &Values) -> Program {
    let variant = Variant { ring3: insn.mode == Mode::User32, ..Variant::default() };
    let mut image = variant.system_image();
    image.resize(RAM_BYTES as usize, 0);
    for vector in 0..EXCEPTIONS.len() as u32 {
        let address = at::HANDLERS + HANDLER_BYTES * vector;
        put(&mut image, address, &[FILL; HANDLER_BYTES as usize]);
        // BP and OF come from ring 3, too.
        put(&mut image, at::IDT + 8 * vector, &gate(address, matches!(vector, 3 | 4)));
    }
    put(&mut image, CODE & !0xfff, &[FILL; 0x1000]);
    put(&mut image, CODE, &insn.bytes);
    for (address, bytes) in &input.memory {
        put(&mut image, *address, bytes);
    }
    let mut gpr = [0; 8];
    gpr[4] = STACK;
    for (number, value) in &input.gpr {
        gpr[*number] = *value;
    }
    Program {
        seed: 0,
        variant,
        image,
        entry: CODE,
        gpr,
        eflags: input.apply_flags(eflags::FIXED | eflags::IF),
        limit: 1,
        interrupts: Vec::new(),
        checkpoints: Vec::new(),
    }
}

impl Outcome {
    fn of(program: &Program, after: &Snapshot, ram: &[u8]) -> Self {
        let mut selectors = [0; 6];
        for (selector, segment) in selectors.iter_mut().zip(&after.segments) {
            *selector = segment.selector;
        }
        let mut outcome = Self {
            gpr: after.gpr,
            selectors,
            eip: after.eip,
            eflags: after.eflags,
            exception: None,
            memory: Vec::new(),
        };
        let frame = outcome.take_exception(program, ram);
        outcome.memory = changes(&program.image, ram, frame);
        outcome
    }

    /// Undoes the delivery of an exception; the addresses of its frame.
    fn take_exception(&mut self, program: &Program, ram: &[u8]) -> std::ops::Range<usize> {
        let vector = self.eip.wrapping_sub(at::HANDLERS) / HANDLER_BYTES;
        if vector >= EXCEPTIONS.len() as u32 {
            return 0..0;
        }
        let esp = self.gpr[4] as usize;
        let word = |number: usize| {
            let from = esp + 4 * number;
            ram.get(from..from + 4)
                .map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let coded = has_error_code(vector as u8);
        let name = EXCEPTIONS[vector as usize];
        self.exception = Some(if coded { format!("{name}({:x})", word(0)) } else { name.to_owned() });
        let first = usize::from(coded);
        (self.eip, self.eflags) = (word(first), word(first + 2) & !eflags::RF);
        self.selectors[1] = word(first + 1) as u16;
        let mut words = first + 3;
        if program.variant.ring3 {
            self.gpr[4] = word(words);
            self.selectors[2] = word(words + 1) as u16;
            words += 2;
        } else {
            self.gpr[4] = self.gpr[4].wrapping_add(4 * words as u32);
        }
        esp..esp + 4 * words
    }

    /// What is not as `case` says.
    fn differences(&self, insn: &InsnTest, case: &TestCase) -> Vec<String> {
        let program = program(insn, &case.input);
        let (output, mut found) = (&case.output, Vec::new());
        let mut check = |name: &str, expected: u32, value: u32| {
            if expected != value {
                found.push(format!("{name} is {value:08x}, not {expected:08x}"));
            }
        };
        for (number, name) in GPRS.iter().enumerate() {
            check(name, output.gpr.get(&number).copied().unwrap_or(program.gpr[number]), self.gpr[number]);
        }
        let selectors = program.variant.selectors();
        for (number, name) in SEGS.iter().enumerate() {
            let expected = output.selectors.get(&number).copied().unwrap_or(selectors[number]);
            check(name, u32::from(expected), u32::from(self.selectors[number]));
        }
        let fallthrough =
            if is_fault(output.exception.as_deref()) { CODE } else { CODE + insn.bytes.len() as u32 };
        check("eip", output.eip.unwrap_or(fallthrough), self.eip);
        let expected_flags = output.apply_flags(program.eflags);
        for (name, bit) in FLAGS {
            if output.undefined_flags() & bit == 0 {
                check(name, u32::from(expected_flags & bit != 0), u32::from(self.eflags & bit != 0));
            }
        }
        if self.exception != output.exception {
            found.push(format!("exception is {:?}, not {:?}", self.exception, output.exception));
        }
        if spread(&self.memory) != spread(&real_changes(&program.image, &output.memory)) {
            found.push(format!("memory that changed is {:x?}, not {:x?}", self.memory, output.memory));
        }
        found
    }
}

/// Whether EIP stays at the instruction (SDM Vol. 3A table 6-1: #BP and #OF are traps).
pub(super) fn is_fault(exception: Option<&str>) -> bool {
    exception.is_some_and(|name| !matches!(name, "bp" | "of" | "db"))
}

/// The parts of `memory` that are different from `image`.
fn real_changes(image: &[u8], memory: &[(u32, Vec<u8>)]) -> Vec<(u32, Vec<u8>)> {
    let changed = |(address, byte): &(u32, u8)| image.get(*address as usize) != Some(byte);
    spread(memory).into_iter().filter(changed).map(|(address, byte)| (address, vec![byte])).collect()
}

/// Byte by byte, sorted by address.
fn spread(memory: &[(u32, Vec<u8>)]) -> Vec<(u32, u8)> {
    let bytes = |(address, bytes): &(u32, Vec<u8>)| {
        let address = *address;
        (address..).zip(bytes.clone()).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = memory.iter().flat_map(bytes).collect();
    all.sort_unstable();
    all
}

/// Runs of bytes that differ, but for those in `frame`; gaps of up to three bytes are bridged.
fn changes(before: &[u8], after: &[u8], frame: std::ops::Range<usize>) -> Vec<(u32, Vec<u8>)> {
    let mut runs: Vec<(u32, Vec<u8>)> = Vec::new();
    let bytes = before.iter().zip(after).enumerate();
    for (address, _) in bytes.filter(|(address, (before, after))| before != after && !frame.contains(address))
    {
        match runs.last_mut() {
            Some((first, run)) if address <= *first as usize + run.len() => run.push(after[address]),
            _ => runs.push((address as u32, vec![after[address]])),
        }
    }
    runs
}

/// What running a folder of tests gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirReport {
    /// Files.
    pub files: usize,
    /// Instructions.
    pub insns: usize,
    /// Cases.
    pub cases: usize,
    /// Instructions whose host instructions are counted.
    pub counted: usize,
    /// Failures by file.
    pub failures: Vec<(PathBuf, Failure)>,
}

/// Runs all `.x86` files in and below `dir`.
///
/// # Errors
/// What reading the folder says.
pub fn run_dir(dir: &Path, runner: &mut Runner) -> std::io::Result<DirReport> {
    let mut report = DirReport::default();
    for path in files(dir)? {
        report.files += 1;
        let tests = match parse(&std::fs::read_to_string(&path)?) {
            Ok(tests) => tests,
            Err(error) => {
                report.failures.push((path, Failure { line: error.line, message: error.message }));
                continue;
            }
        };
        report.insns += tests.insns.len();
        report.cases += tests.insns.iter().map(|insn| insn.cases.len()).sum::<usize>();
        report.counted += tests.insns.iter().filter(|insn| insn.host_insns.is_some()).count();
        report.failures.extend(runner.run(&tests).into_iter().map(|failure| (path.clone(), failure)));
    }
    Ok(report)
}

/// The `.x86` files in and below `dir`, sorted.
pub(crate) fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "x86") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
