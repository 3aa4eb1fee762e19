//! The functions that translated code calls, and how they reach the processor.
//!
//! Invariant: a helper takes the state's address alone, returns nothing, never unwinds: a panic inside it is
//! caught and becomes a pending trap that ends the run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use base::{AccessSize, LinearAddr};
use cpu::{Cpu, CpuState, Exception, Trap, flags, leave};
use isa::SegReg;

use crate::abi::{HELPER_BODIES, HELPER_COUNT, Helper, access, status};
use crate::strings::{self, Progress};
use crate::thunk::thunks;

/// Runs the instruction at EIP in the interpreter.
pub type Delegate = Box<dyn FnMut(&mut Cpu) -> Delegated + Send>;

/// A processor as translated code's owner, with what its helpers leave behind.
pub struct Owner {
    /// The processor.
    pub cpu: Cpu,
    /// What ended the last instruction that a helper could not complete.
    pub pending: Option<Trap>,
    /// Helper calls, by row.
    pub calls: [u64; HELPER_COUNT],
    /// A helper panicked: a bug, reported by the run loop.
    pub panicked: bool,
    /// What the engine's own helper needs.
    pub delegate: Option<Delegate>,
}

/// What became of an instruction that the interpreter ran for a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delegated {
    /// It completed and EIP is the next instruction's.
    Next,
    /// It completed and EIP is elsewhere.
    Elsewhere,
    /// It did not complete.
    Trap(Trap),
}

impl Owner {
    /// A processor with the helper table filled in.
    #[must_use]
    pub fn new(mut cpu: Cpu) -> Self {
        let bodies: [(Helper, extern "C" fn(*mut CpuState)); HELPER_COUNT] = [
            (Helper::FillWindow, fill_window),
            (Helper::Access, access_bus),
            (Helper::Delegate, delegate),
            (Helper::Flags, derive_flags),
            (Helper::Port, port),
            (Helper::String, string),
        ];
        for (helper, body) in bodies {
            cpu.state.helpers[helper as usize] = thunks()[helper as usize];
            cpu.state.helpers[HELPER_BODIES + helper as usize] = body as usize;
        }
        Self { cpu, pending: None, calls: [0; HELPER_COUNT], panicked: false, delegate: None }
    }
}

/// Runs a helper's body on the owner of `state`.
fn with_owner(state: *mut CpuState, helper: Helper, body: impl FnOnce(&mut Owner) -> u32) {
    // SAFETY: translated code passes the state that `enter` was given, whose `owner` is the address of the
    // `Owner` that contains it; while translated code runs, nothing else holds a reference to either.
    let owner = unsafe { &mut *((*state).owner as *mut Owner) };
    owner.calls[helper as usize] += 1;
    let outcome = catch_unwind(AssertUnwindSafe(|| body(owner)));
    // SAFETY: as above.
    let owner = unsafe { &mut *((*state).owner as *mut Owner) };
    owner.cpu.state.helper_status = outcome.unwrap_or_else(|_| {
        owner.panicked = true;
        status::FAULT
    });
}

fn fault(owner: &mut Owner, exception: Exception) -> u32 {
    owner.pending = Some(Trap::Exception(exception));
    status::FAULT
}

fn size_of_access(meta: u32) -> AccessSize {
    AccessSize::from_bytes(u64::from(meta & access::SIZE)).unwrap_or(AccessSize::B4)
}

extern "C" fn fill_window(state: *mut CpuState) {
    with_owner(state, Helper::FillWindow, |owner| {
        let (la, meta) = (owner.cpu.state.access_la, owner.cpu.state.access_meta);
        let write = meta & access::WRITE != 0;
        let number = (meta >> access::WINDOW_SHIFT & access::WINDOW) as usize;
        // A store over a page boundary makes both pages' checks before it sets a dirty bit in either.
        let user = owner.cpu.is_user();
        if write && let Err(exception) = owner.cpu.probe_linear(LinearAddr(la), size_of_access(meta), user) {
            return fault(owner, exception);
        }
        let window = match owner.cpu.window(LinearAddr(la), write) {
            Ok(window) => window,
            Err(exception) => return fault(owner, exception),
        };
        // A walk that replaced a translation, or wrote to code, asks to leave: the code itself may lie elsewhere now,
        // or be other code.
        let asked = owner.cpu.state.leave & (leave::MODE | leave::CODE) != 0;
        if asked || !window.covers(la, meta & access::SIZE) {
            return status::NOT_DIRECT;
        }
        let state = &mut owner.cpu.state;
        state.set_window(number, write, window, la);
        state.access_value = window.host + u64::from(la.wrapping_sub(window.start));
        status::OK
    });
}

extern "C" fn access_bus(state: *mut CpuState) {
    with_owner(state, Helper::Access, |owner| {
        let (off, meta) = (owner.cpu.state.access_la, owner.cpu.state.access_meta);
        let seg = SegReg::ALL[(meta >> access::SEG_SHIFT & access::SEG).min(5) as usize];
        let size = size_of_access(meta);
        let outcome = if meta & access::WRITE != 0 {
            let value = owner.cpu.state.access_value;
            owner.cpu.store(seg, off, size, value).map(|()| value)
        } else if meta & access::FOR_WRITE != 0 {
            owner.cpu.load_for_write(seg, off, size)
        } else {
            owner.cpu.load(seg, off, size)
        };
        match outcome {
            Ok(value) => {
                owner.cpu.state.access_value = value;
                status::OK
            }
            Err(exception) => fault(owner, exception),
        }
    });
}

extern "C" fn port(state: *mut CpuState) {
    with_owner(state, Helper::Port, |owner| {
        let (number, meta) = (owner.cpu.state.access_la as u16, owner.cpu.state.access_meta);
        let size = size_of_access(meta);
        let outcome = if meta & access::WRITE != 0 {
            let value = owner.cpu.state.access_value as u32;
            owner.cpu.port_out(number, size, value).map(|()| value)
        } else {
            owner.cpu.port_in(number, size)
        };
        match outcome {
            Ok(value) => {
                owner.cpu.state.access_value = u64::from(value);
                status::OK
            }
            Err(exception) => fault(owner, exception),
        }
    });
}

extern "C" fn string(state: *mut CpuState) {
    with_owner(state, Helper::String, |owner| match strings::run(&mut owner.cpu) {
        Ok(Progress::Done) => status::OK,
        Ok(Progress::More) => {
            owner.cpu.state.budget -= 1;
            status::RESUME
        }
        Err(exception) => fault(owner, exception),
    });
}

extern "C" fn derive_flags(state: *mut CpuState) {
    with_owner(state, Helper::Flags, |owner| {
        flags::materialize(&mut owner.cpu.state);
        status::OK
    });
}

extern "C" fn delegate(state: *mut CpuState) {
    with_owner(state, Helper::Delegate, |owner| {
        let Some(mut run) = owner.delegate.take() else { return status::RESUME };
        let outcome = run(&mut owner.cpu);
        owner.delegate = Some(run);
        match outcome {
            Delegated::Next => status::OK,
            Delegated::Elsewhere => {
                owner.cpu.state.budget -= 1;
                status::RESUME
            }
            Delegated::Trap(trap) => {
                owner.pending = Some(trap);
                status::FAULT
            }
        }
    });
}
