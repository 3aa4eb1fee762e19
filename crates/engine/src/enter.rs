//! The one place that calls translated code.
//!
//! Ownership: the entry address comes from a live translation's cell; the `Owner` is borrowed mutably for
//! the whole call and reached by helpers through `CpuState::owner` alone.

use jit::Owner;

/// Runs translated code from the cell at `cell` until it returns.
pub fn enter(owner: &mut Owner, cell: u64) {
    let budget = owner.cpu.state.budget;
    let address: *mut Owner = owner;
    owner.cpu.state.owner = address as usize;
    // SAFETY: `address` was just made from the exclusive borrow that this function holds, and nothing else
    // uses the borrow until `enter` returns.
    let state: *mut cpu::CpuState = unsafe { &mut *(*address).cpu.state };
    // SAFETY: `cell` is the address of a cell that the translation cache owns, aligned and never freed.
    let entry = unsafe { *(cell as *const u64) };
    // SAFETY: `entry` is the code of a live translation or a stub; state, owner and helper table are set.
    unsafe { jit::enter(entry, state, budget, cell) };
}

/// Writes a link or entry cell: one aligned store, so that running code sees the old or the new value.
pub fn set_cell(cell: u64, target: u64) {
    // SAFETY: `cell` is the address of a `u64` in a chunk that the cell arena owns and never frees while the
    // translation cache lives; other writers do not exist.
    unsafe { (cell as *mut u64).write_volatile(target) };
}

/// Reads a cell.
pub fn get_cell(cell: u64) -> u64 {
    // SAFETY: as in `set_cell`; translated code, which also writes counters, does not run meanwhile.
    unsafe { (cell as *const u64).read_volatile() }
}
