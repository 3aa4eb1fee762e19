//! Assembly between Rust and translated code.
//!
//! * `marq_enter(function, state, budget, cell)`: saves what the host's convention wants kept and calls
//!   translated code, which keeps nothing.
//! * `marq_thunk_N`: called by translated code with a convention that clobbers nothing; saves the registers
//!   that Rust may clobber and calls the Rust function N of the helper table. Vector registers are not
//!   saved: translated code holds no vector values.
//! * `marq_unlinked` and `marq_lookup`: what link cells and entry cells hold while they lead nowhere.

use std::arch::global_asm;
use std::mem::offset_of;

use cpu::CpuState;
use cpu::layout::{PAGE_ENTRIES, PageEntry, WINDOWS, Window};

use crate::abi::{HELPER_BODIES, HELPER_COUNT, SITE_LOOKUP, SITE_UNLINKED, access};

global_asm!(
    ".globl marq_enter",
    "marq_enter:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov esi, edx",
    "mov rdx, rcx",
    "call rax",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".globl marq_unlinked",
    "marq_unlinked:",
    "mov [rdi + {exit_cell}], rdx",
    "mov [rdi + {budget}], esi",
    "mov dword ptr [rdi + {exit_site}], {unlinked}",
    "ret",
    ".globl marq_lookup",
    "marq_lookup:",
    "mov [rdi + {budget}], esi",
    "mov dword ptr [rdi + {exit_site}], {lookup}",
    "ret",
    exit_cell = const offset_of!(CpuState, exit_cell),
    budget = const offset_of!(CpuState, budget),
    exit_site = const offset_of!(CpuState, exit_site),
    unlinked = const SITE_UNLINKED as i32,
    lookup = const SITE_LOOKUP as i32,
);

macro_rules! thunk {
    ($name:literal, $number:expr) => {
        global_asm!(
            concat!(".globl ", $name),
            concat!($name, ":"),
            "push rax",
            "push rcx",
            "push rdx",
            "push rsi",
            "push rdi",
            "push r8",
            "push r9",
            "push r10",
            "push r11",
            "call [rdi + {body}]",
            "pop r11",
            "pop r10",
            "pop r9",
            "pop r8",
            "pop rdi",
            "pop rsi",
            "pop rdx",
            "pop rcx",
            "pop rax",
            "ret",
            body = const offset_of!(CpuState, helpers) + 8 * (HELPER_BODIES + $number),
        );
    };
}

// Looks into the page entries first: an access outside its window often lies in one that another access made, which
// then becomes its own too.
global_asm!(
    ".globl marq_thunk_0",
    "marq_thunk_0:",
    "push rax",
    "push rcx",
    "push rdx",
    "push rsi",
    "mov eax, [rdi + {la}]",
    "mov ecx, [rdi + {meta}]",
    "movzx esi, cl",
    "mov edx, eax",
    "and edx, 0xfff",
    "add edx, esi",
    "cmp edx, 0x1000",
    "ja 3f",
    "shr eax, 12",
    "mov edx, eax",
    "and edx, {entries} - 1",
    "shl edx, 5",
    "mov esi, [rdi + {generation}]",
    "test ecx, {write}",
    "jz 2f",
    "add edx, {entries} * 32",
    "mov esi, [rdi + {generation} + 4]",
    "2:",
    "shl rsi, 32",
    "or rsi, rax",
    "cmp rsi, [rdi + rdx + {pages}]",
    "jne 3f",
    "lea rdx, [rdi + rdx + {pages} + 8]",
    "mov eax, ecx",
    "shr eax, {number}",
    "and eax, {window}",
    "test ecx, {write}",
    "jz 4f",
    "add eax, {windows}",
    "4:",
    "lea eax, [rax + rax * 2]",
    "lea rax, [rdi + rax * 8 + {read_windows}]",
    "mov rsi, [rdx]",
    "mov [rax], rsi",
    "mov rsi, [rdx + 8]",
    "mov [rax + 8], rsi",
    "mov rsi, [rdx + 16]",
    "mov [rax + 16], rsi",
    "mov eax, [rdi + {la}]",
    "sub eax, [rdx]",
    "add rax, rsi",
    "mov [rdi + {value}], rax",
    "mov dword ptr [rdi + {status}], 0",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "ret",
    "3:",
    "pop rsi",
    "pop rdx",
    "pop rcx",
    "pop rax",
    "jmp marq_thunk_fill",
    la = const offset_of!(CpuState, access_la),
    meta = const offset_of!(CpuState, access_meta),
    value = const offset_of!(CpuState, access_value),
    status = const offset_of!(CpuState, helper_status),
    generation = const offset_of!(CpuState, window_generation),
    pages = const offset_of!(CpuState, pages),
    entries = const PAGE_ENTRIES,
    write = const access::WRITE,
    number = const access::WINDOW_SHIFT,
    window = const access::WINDOW,
    windows = const WINDOWS,
    read_windows = const offset_of!(CpuState, read_windows),
);
thunk!("marq_thunk_fill", 0);

// What the assembly above takes for granted.
const _: () = {
    assert!(size_of::<Window>() == 24 && size_of::<PageEntry>() == 32);
    assert!(WINDOWS.is_power_of_two() && access::WINDOW >> (access::SEG_SHIFT - access::WINDOW_SHIFT) == 0);
    assert!(offset_of!(Window, start) == 0 && offset_of!(Window, host) == 16);
    assert!(offset_of!(PageEntry, tag) == 0 && offset_of!(PageEntry, window) == 8);
    assert!(offset_of!(CpuState, write_windows) == offset_of!(CpuState, read_windows) + 24 * WINDOWS);
};
thunk!("marq_thunk_1", 1);
thunk!("marq_thunk_2", 2);
thunk!("marq_thunk_3", 3);
thunk!("marq_thunk_4", 4);
thunk!("marq_thunk_5", 5);

unsafe extern "C" {
    fn marq_enter(function: u64, state: *mut CpuState, budget: i32, cell: u64);
    fn marq_unlinked();
    fn marq_lookup();
    fn marq_thunk_0();
    fn marq_thunk_1();
    fn marq_thunk_2();
    fn marq_thunk_3();
    fn marq_thunk_4();
    fn marq_thunk_5();
}

/// Host address that an unlinked exit's cell holds.
#[must_use]
pub fn unlinked_stub() -> u64 {
    marq_unlinked as *const () as u64
}

/// Host address that the entry cell of a translation that is gone holds.
#[must_use]
pub fn lookup_stub() -> u64 {
    marq_lookup as *const () as u64
}

/// Host addresses of the thunks, by row of the helper table.
#[must_use]
pub fn thunks() -> [usize; HELPER_COUNT] {
    [marq_thunk_0, marq_thunk_1, marq_thunk_2, marq_thunk_3, marq_thunk_4, marq_thunk_5]
        .map(|thunk| thunk as *const () as usize)
}

/// Calls translated code.
///
/// # Safety
/// `function` is the entry of a live translation or one of the stubs; `state` points to the state of a
/// processor whose `owner` and helper table are set, and nothing else accesses it meanwhile.
pub unsafe fn enter(function: u64, state: *mut CpuState, budget: i32, cell: u64) {
    // SAFETY: the caller's promise is the one that translated code needs.
    unsafe { marq_enter(function, state, budget, cell) }
}
