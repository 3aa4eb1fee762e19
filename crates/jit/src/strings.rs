//! The helper for string instructions: whole runs in host memory, single elements where a device, a closed
//! write gate or a page boundary is in the way.
//!
//! Written from SDM Vol. 2 ("MOVS", "CMPS", "SCAS", "LODS", "STOS", "REP"); shares nothing with the
//! interpreter. Only flat segments and 32-bit addresses come here. Invariant: registers always say how many
//! elements are complete, so a fault or an early end in the middle needs no repair.

use base::{AccessSize, LinearAddr};
use cpu::flags::{CcKind, CcOp};
use cpu::{Cpu, Exception, REP_CHUNK, eflags, leave};
use isa::{Gpr, Insn, Op, Rep, SegReg};

use crate::abi::string;

/// What the helper is asked to do, unpacked from `access_meta`.
#[derive(Clone, Copy, Debug)]
struct Job {
    op: Op,
    size: AccessSize,
    rep: Rep,
    backward: bool,
}

/// How far an execution got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The instruction is complete.
    Done,
    /// More elements remain; the instruction is to be executed again.
    More,
}

/// Packs an instruction for `access_meta`.
#[must_use]
pub fn pack(insn: &Insn) -> u32 {
    let op = match insn.op {
        Op::Movs => string::MOVS,
        Op::Cmps => string::CMPS,
        Op::Scas => string::SCAS,
        Op::Lods => string::LODS,
        _ => string::STOS,
    };
    let rep = match insn.rep {
        Rep::None => 0,
        Rep::Repe => string::REPE,
        Rep::Repne => string::REPNE,
    };
    insn.width.bytes() | op << string::OP_SHIFT | rep
}

fn unpack(meta: u32, cpu: &Cpu) -> Job {
    let op = match meta >> string::OP_SHIFT & string::OP {
        string::MOVS => Op::Movs,
        string::CMPS => Op::Cmps,
        string::SCAS => Op::Scas,
        string::LODS => Op::Lods,
        _ => Op::Stos,
    };
    let rep = match meta & (string::REPE | string::REPNE) {
        0 => Rep::None,
        string::REPE => Rep::Repe,
        _ => Rep::Repne,
    };
    let size = AccessSize::from_bytes(u64::from(meta & string::SIZE)).unwrap_or(AccessSize::B1);
    Job { op, size, rep, backward: cpu.state.eflags & eflags::DF != 0 }
}

impl Job {
    fn reads(self) -> bool {
        matches!(self.op, Op::Movs | Op::Cmps | Op::Lods)
    }

    fn bytes(self) -> u32 {
        self.size.bytes() as u32
    }

    /// What `elements` elements add to an index register.
    fn delta(self, elements: u32) -> u32 {
        let bytes = elements.wrapping_mul(self.bytes());
        if self.backward { bytes.wrapping_neg() } else { bytes }
    }

    fn compares(self) -> bool {
        matches!(self.op, Op::Cmps | Op::Scas)
    }

    /// Whether a compared pair ends a repetition.
    fn ends(self, equal: bool) -> bool {
        match self.rep {
            Rep::None => false,
            Rep::Repe => self.compares() && !equal,
            Rep::Repne => self.compares() && equal,
        }
    }
}

/// Runs the string instruction that `access_meta` describes.
///
/// # Errors
/// #PF, with the registers as after the elements completed before.
pub fn run(cpu: &mut Cpu) -> Result<Progress, Exception> {
    let job = unpack(cpu.state.access_meta, cpu);
    if job.rep == Rep::None {
        element(cpu, job)?;
        return Ok(Progress::Done);
    }
    let mut left = cpu.gpr32(Gpr::Ecx).min(REP_CHUNK);
    while left > 0 {
        let (done, ended) = match span(cpu, job, left)? {
            Some(outcome) => outcome,
            None => {
                let equal = element(cpu, job)?;
                cpu.set_gpr32(Gpr::Ecx, cpu.gpr32(Gpr::Ecx).wrapping_sub(1));
                // As in the interpreter: what a device asks for comes before the next element.
                if !job.ends(equal) && cpu.state.leave & (leave::MAP | leave::DEVICE) != 0 {
                    break;
                }
                (1, job.ends(equal))
            }
        };
        if ended {
            return Ok(Progress::Done);
        }
        left -= done;
    }
    Ok(if cpu.gpr32(Gpr::Ecx) == 0 { Progress::Done } else { Progress::More })
}

/// One element through the checked accesses; for comparisons whether the two were equal.
fn element(cpu: &mut Cpu, job: Job) -> Result<bool, Exception> {
    let (source, destination) = (cpu.gpr32(Gpr::Esi), cpu.gpr32(Gpr::Edi));
    let accumulator = u64::from(cpu.gpr32(Gpr::Eax)) & job.size.mask();
    let first = if job.reads() { cpu.load(SegReg::Ds, source, job.size)? } else { accumulator };
    let mut equal = false;
    match job.op {
        Op::Movs | Op::Stos => cpu.store(SegReg::Es, destination, job.size, first)?,
        Op::Lods => {
            let kept = u64::from(cpu.gpr32(Gpr::Eax)) & !job.size.mask();
            cpu.set_gpr32(Gpr::Eax, (kept | first) as u32);
        }
        _ => {
            let second = cpu.load(SegReg::Es, destination, job.size)?;
            equal = first == second;
            set_flags(cpu, job, first as u32, second as u32);
        }
    }
    advance(cpu, job, 1);
    Ok(equal)
}

/// The flags of a comparison.
fn set_flags(cpu: &mut Cpu, job: Job, first: u32, second: u32) {
    cpu.state.cc_op = CcOp::new(CcKind::Sub, job.bytes());
    (cpu.state.cc_a, cpu.state.cc_b) = (first, second);
}

fn advance(cpu: &mut Cpu, job: Job, elements: u32) {
    let delta = job.delta(elements);
    if job.reads() {
        cpu.set_gpr32(Gpr::Esi, cpu.gpr32(Gpr::Esi).wrapping_add(delta));
    }
    if job.op != Op::Lods {
        cpu.set_gpr32(Gpr::Edi, cpu.gpr32(Gpr::Edi).wrapping_add(delta));
    }
}

/// Host memory from an index register on: address of the first element, and how many follow in the direction.
fn host_run(cpu: &mut Cpu, job: Job, register: Gpr, write: bool) -> Result<Option<(u64, u32)>, Exception> {
    let la = cpu.gpr32(register);
    let number = register.index();
    let state = &cpu.state;
    let mut window = if write { state.write_windows[number] } else { state.read_windows[number] };
    if !window.covers(la, job.bytes()) {
        // An element over a page boundary makes both pages' checks before a dirty bit is set in either.
        if write {
            cpu.probe_linear(LinearAddr(la), job.size, cpu.is_user())?;
        }
        window = cpu.window(LinearAddr(la), write)?;
        if !window.covers(la, job.bytes()) {
            return Ok(None);
        }
        cpu.state.set_window(number, write, window, la);
    }
    let inside = u64::from(la.wrapping_sub(window.start));
    let room = if job.backward {
        inside / job.size.bytes() + 1
    } else {
        (window.bound + cpu::layout::WINDOW_ACCESS - 1 - inside) / job.size.bytes()
    };
    Ok(Some((window.host + inside, room.min(u64::from(u32::MAX)) as u32)))
}

/// As many elements as lie in host memory on both sides, at most `left`: how many were handled, and whether a
/// comparison ended the repetition. `None` when the first element must be handled alone.
fn span(cpu: &mut Cpu, job: Job, left: u32) -> Result<Option<(u32, bool)>, Exception> {
    let source = match job.reads() {
        true => host_run(cpu, job, Gpr::Esi, false)?,
        false => Some((0, left)),
    };
    let Some((from, source_room)) = source else { return Ok(None) };
    let writes = matches!(job.op, Op::Movs | Op::Stos);
    let destination = match job.op {
        Op::Lods => Some((0, left)),
        _ => host_run(cpu, job, Gpr::Edi, writes)?,
    };
    let Some((to, room)) = destination else { return Ok(None) };
    let count = left.min(source_room).min(room);
    let eax = cpu.gpr32(Gpr::Eax);
    let step = i64::from(job.bytes()) * if job.backward { -1 } else { 1 };
    let run = HostRun { from, to, count, step };
    let (done, ended) = match job.op {
        Op::Movs => (run.copy(job.size), false),
        Op::Stos => (run.fill(job.size, eax), false),
        Op::Lods => {
            let last = run.load(job.size, u64::from(count - 1) as i64, from);
            let mask = job.size.mask() as u32;
            cpu.set_gpr32(Gpr::Eax, eax & !mask | last);
            (count, false)
        }
        _ => {
            let (done, pair) = run.compare(job, eax);
            set_flags(cpu, job, pair.0, pair.1);
            (done, job.ends(pair.0 == pair.1))
        }
    };
    advance(cpu, job, done);
    cpu.set_gpr32(Gpr::Ecx, cpu.gpr32(Gpr::Ecx).wrapping_sub(done));
    Ok(Some((done, ended)))
}

/// Elements in host memory: `count` of them from `from` and `to` on, `step` bytes apart.
///
/// Both ranges lie inside windows of the processor state, whose flat view keeps the memory alive; stores go
/// only into windows for stores.
#[derive(Clone, Copy)]
struct HostRun {
    from: u64,
    to: u64,
    count: u32,
    step: i64,
}

impl HostRun {
    fn at(self, base: u64, n: i64) -> u64 {
        base.wrapping_add_signed(n * self.step)
    }

    fn load(self, size: AccessSize, n: i64, base: u64) -> u32 {
        let host = self.at(base, n) as *const u8;
        // SAFETY: element `n` is below `count`, so it lies inside the window that the run was made from.
        unsafe {
            match size {
                AccessSize::B1 => u32::from(host.read()),
                AccessSize::B2 => u32::from(host.cast::<u16>().read_unaligned()),
                AccessSize::B4 | AccessSize::B8 => host.cast::<u32>().read_unaligned(),
            }
        }
    }

    fn store(self, size: AccessSize, n: i64, value: u32) {
        let host = self.at(self.to, n) as *mut u8;
        // SAFETY: as in `load`; the destination is a window for stores.
        unsafe {
            match size {
                AccessSize::B1 => host.write(value as u8),
                AccessSize::B2 => host.cast::<u16>().write_unaligned(value as u16),
                AccessSize::B4 | AccessSize::B8 => host.cast::<u32>().write_unaligned(value),
            }
        }
    }

    fn copy(self, size: AccessSize) -> u32 {
        let len = u64::from(self.count) * size.bytes();
        let apart = self.from.abs_diff(self.to) >= len;
        if self.step > 0 && apart {
            // SAFETY: both runs are `len` bytes inside their windows and do not overlap.
            unsafe {
                std::ptr::copy_nonoverlapping(self.from as *const u8, self.to as *mut u8, len as usize)
            };
            return self.count;
        }
        for n in 0..i64::from(self.count) {
            let value = self.load(size, n, self.from);
            self.store(size, n, value);
        }
        self.count
    }

    fn fill(self, size: AccessSize, value: u32) -> u32 {
        let [low, second, third, top] = value.to_le_bytes();
        let even = match size {
            AccessSize::B1 => true,
            AccessSize::B2 => low == second,
            AccessSize::B4 | AccessSize::B8 => low == second && low == third && low == top,
        };
        if self.step > 0 && even {
            let len = self.count as usize * size.bytes() as usize;
            // SAFETY: the run is `len` bytes inside its window for stores.
            unsafe { std::ptr::write_bytes(self.to as *mut u8, low, len) };
            return self.count;
        }
        for n in 0..i64::from(self.count) {
            self.store(size, n, value);
        }
        self.count
    }

    /// Compares until the repetition ends: how many elements, and the last pair.
    fn compare(self, job: Job, eax: u32) -> (u32, (u32, u32)) {
        let mask = job.size.mask() as u32;
        let mut pair = (0, 0);
        for n in 0..i64::from(self.count) {
            let first = if job.op == Op::Cmps { self.load(job.size, n, self.from) } else { eax & mask };
            pair = (first, self.load(job.size, n, self.to));
            if job.ends(pair.0 == pair.1) {
                return (n as u32 + 1, pair);
            }
        }
        (self.count, pair)
    }
}
