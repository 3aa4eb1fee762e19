//! `CpuState`: the part of the processor that translated code reads and writes, at fixed offsets.
//!
//! Invariant: `#[repr(C)]`; translated code addresses fields by `offset_of!` alone. Registers are kept in
//! 64-bit places whose upper halves stay 0 until 64-bit mode exists. Nothing in here is owned: host
//! addresses in windows are valid while the `Cpu` holds the flat view that they were made from.

use crate::flags::CcOp;

/// EFLAGS bits (SDM Vol. 1 3.4.3).
pub mod eflags {
    #![expect(missing_docs, reason = "the manual's flag names")]
    pub const CF: u32 = 1 << 0;
    pub const FIXED: u32 = 1 << 1;
    pub const PF: u32 = 1 << 2;
    pub const AF: u32 = 1 << 4;
    pub const ZF: u32 = 1 << 6;
    pub const SF: u32 = 1 << 7;
    pub const TF: u32 = 1 << 8;
    pub const IF: u32 = 1 << 9;
    pub const DF: u32 = 1 << 10;
    pub const OF: u32 = 1 << 11;
    pub const IOPL: u32 = 3 << 12;
    pub const NT: u32 = 1 << 14;
    pub const RF: u32 = 1 << 16;
    pub const VM: u32 = 1 << 17;
    pub const AC: u32 = 1 << 18;
    pub const VIF: u32 = 1 << 19;
    pub const VIP: u32 = 1 << 20;
    pub const ID: u32 = 1 << 21;
    /// The six arithmetic flags.
    pub const STATUS: u32 = CF | PF | AF | ZF | SF | OF;
}

/// Control-register bits (SDM Vol. 3A 2.5).
pub mod cr {
    #![expect(missing_docs, reason = "the manual's bit names")]
    pub const CR0_PE: u32 = 1 << 0;
    pub const CR0_MP: u32 = 1 << 1;
    pub const CR0_EM: u32 = 1 << 2;
    pub const CR0_TS: u32 = 1 << 3;
    pub const CR0_ET: u32 = 1 << 4;
    pub const CR0_NE: u32 = 1 << 5;
    pub const CR0_WP: u32 = 1 << 16;
    pub const CR0_AM: u32 = 1 << 18;
    pub const CR0_NW: u32 = 1 << 29;
    pub const CR0_CD: u32 = 1 << 30;
    pub const CR0_PG: u32 = 1 << 31;
    pub const CR4_VME: u32 = 1 << 0;
    pub const CR4_TSD: u32 = 1 << 2;
    pub const CR4_DE: u32 = 1 << 3;
    pub const CR4_PSE: u32 = 1 << 4;
    pub const CR4_PAE: u32 = 1 << 5;
    pub const CR4_PGE: u32 = 1 << 7;
}

/// Hidden and visible part of one segment register (SDM Vol. 3A 3.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// Linear base address.
    pub base: u64,
    /// Effective limit in bytes, granularity applied: the last valid offset of an expand-up segment.
    pub limit: u32,
    /// Descriptor bits 40-47 in bits 0-7 (type, S, DPL, P) and 52-55 in bits 12-15 (AVL, L, D/B, G).
    /// 0 for a null selector: nothing can be accessed through it.
    pub attrs: u32,
    /// Visible selector.
    pub selector: u16,
    /// Keeps the structure free of padding.
    pub reserved: [u16; 3],
}

/// Bits of [`Segment::attrs`].
pub mod attr {
    #![expect(missing_docs, reason = "the manual's descriptor bit names")]
    pub const ACCESSED: u32 = 1 << 0;
    /// Writable (data) or readable (code).
    pub const RW: u32 = 1 << 1;
    /// Expand-down (data) or conforming (code).
    pub const DC: u32 = 1 << 2;
    pub const CODE: u32 = 1 << 3;
    pub const S: u32 = 1 << 4;
    pub const DPL_SHIFT: u32 = 5;
    pub const DPL: u32 = 3 << 5;
    pub const P: u32 = 1 << 7;
    pub const L: u32 = 1 << 13;
    /// D (code) or B (stack, data): 32-bit.
    pub const DB: u32 = 1 << 14;
    pub const G: u32 = 1 << 15;
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TableReg {
    /// Linear base address.
    pub base: u64,
    /// Limit in bytes: the last valid offset.
    pub limit: u32,
    /// Keeps the structure free of padding.
    pub reserved: u32,
}

/// A run of neighbouring guest pages that one host range backs: what an inlined access is checked against.
///
/// An access of at most [`WINDOW_ACCESS`] bytes at `la` surely hits iff `zext64(la - start) < bound`; its host
/// address is then `host + zext64(la - start)`. The window itself is `bound + WINDOW_ACCESS - 1` bytes long;
/// empty means `bound == 0`. A read window holds only pages whose read may go straight to memory; a write
/// window only pages that are writable, dirty and whose write gate is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Window {
    /// Linear address of the first byte.
    pub start: u32,
    /// What added to a linear address in 32 bits gives the offset in the window: 0 less `start`.
    pub minus_start: u32,
    /// Offsets below it are those of accesses that lie wholly inside.
    pub bound: u64,
    /// Host address of the first byte.
    pub host: u64,
}

/// Bytes of the widest inlined access.
pub const WINDOW_ACCESS: u64 = 4;

impl Window {
    /// The window of `len` bytes (at least a page) from `start` on, backed by host memory from `host` on.
    #[must_use]
    pub const fn new(start: u32, len: u64, host: u64) -> Self {
        Self { start, minus_start: start.wrapping_neg(), bound: len - (WINDOW_ACCESS - 1), host }
    }

    /// Whether `size` bytes at `la` lie inside.
    #[must_use]
    pub const fn covers(&self, la: u32, size: u32) -> bool {
        let inside = la.wrapping_sub(self.start) as u64;
        self.bound != 0 && inside + size as u64 <= self.bound + (WINDOW_ACCESS - 1)
    }
}

/// The window that a page was last found in: assembly looks here when an access is outside its own window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PageEntry {
    /// Page number in the low half, [`CpuState::window_generation`] in the high half: both must match.
    pub tag: u64,
    /// The window, which holds the whole page.
    pub window: Window,
}

/// Page entries of each direction; a power of two.
pub const PAGE_ENTRIES: usize = 256;

/// Number of windows of each direction. The first are for base registers of unknown origin, the others are shared
/// by whatever else can be told apart.
pub const WINDOWS: usize = 32;
/// The first window that belongs to no register.
pub const WINDOW_SHARED: usize = 8;

/// Entries in the jump cache; a power of two.
pub const JUMP_CACHE_SIZE: usize = 16384;

/// One entry of the jump cache (jit.md, 2): indirect branches look here for the translation of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct JumpCacheEntry {
    /// EIP in the low half, the high half of [`CpuState::context`] in the high half: both must match.
    pub tag: u64,
    /// Host address of the translation's entry cell, which holds the entry or the "not here" stub.
    pub cell: u64,
}

/// Number of places in the helper table.
pub const HELPERS: usize = 32;

/// Bits of [`CpuState::leave`]: why translated code must leave after this instruction.
pub mod leave {
    /// The memory map changed.
    pub const MAP: u32 = 1 << 0;
    /// Code bytes were written.
    pub const CODE: u32 = 1 << 1;
    /// A device wants the run loop (interrupt line, timer, exit).
    pub const DEVICE: u32 = 1 << 2;
    /// Mode, segment, paging or interrupt-flag state changed: the next instruction needs another key or a check.
    pub const MODE: u32 = 1 << 3;
}

/// The processor state that translated code sees.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct CpuState {
    /// General-purpose registers, 32 bits used.
    pub gpr: [u64; 16],
    /// Instruction pointer: of the instruction being executed, or of the next one between instructions.
    pub eip: u32,
    /// EFLAGS. The arithmetic flags in it are valid iff `cc_op == CcOp::EFLAGS`; the rest always is.
    pub eflags: u32,
    /// Which computation the arithmetic flags are to be derived from ([`crate::flags`]).
    pub cc_op: CcOp,
    /// First operand of that computation.
    pub cc_a: u32,
    /// Second operand.
    pub cc_b: u32,
    /// Third operand (a carry).
    pub cc_c: u32,
    /// Flags that replace those of the computation, as far as `cc_op` names them.
    pub cc_patch: u32,
    /// Keeps the structure free of padding.
    pub reserved_flags: u32,
    /// Instructions left until the run loop wants control; signed, may pass 0.
    pub budget: i32,
    /// `leave` bits: the run loop wants control after the current instruction.
    pub leave: u32,
    /// Where translated code left: a site of a translation, or one of the values above them that `jit`
    /// defines for the stubs.
    pub exit_site: u32,
    /// 0 when the helper succeeded.
    pub helper_status: u32,
    /// Linear address of the access that a helper is asked for.
    pub access_la: u32,
    /// Width, direction and window of that access.
    pub access_meta: u32,
    /// Its value, both ways.
    pub access_value: u64,
    /// Identity of (mode bits, page directory) that jump-cache entries must match, in the high half.
    pub context: u64,
    /// Advanced by everything that can change the mapping of linear addresses (jit.md, 5), INVLPG of single pages apart;
    /// never 0.
    pub epoch: u64,
    /// Link cell through which translated code left.
    pub exit_cell: u64,
    /// Windows for loads.
    pub read_windows: [Window; WINDOWS],
    /// Windows for stores.
    pub write_windows: [Window; WINDOWS],
    /// Generation of the page entries for loads and for stores; never 0.
    pub window_generation: [u32; 2],
    /// Pages for loads and for stores.
    pub pages: [[PageEntry; PAGE_ENTRIES]; 2],
    /// Segment registers, in encoding order.
    pub segs: [Segment; 6],
    /// Local descriptor table register.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// Global descriptor table register.
    pub gdtr: TableReg,
    /// Interrupt descriptor table register.
    pub idtr: TableReg,
    /// Control register 0.
    pub cr0: u32,
    /// Page-fault linear address.
    pub cr2: u32,
    /// Page-directory base.
    pub cr3: u32,
    /// Control register 4.
    pub cr4: u32,
    /// Debug registers.
    pub dr: [u32; 8],
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    /// HLT was executed; an interrupt ends it.
    pub halted: bool,
    /// Interrupts are inhibited until after the next instruction (STI, MOV SS, POP SS).
    pub interrupt_shadow: bool,
    /// Keeps the structure free of padding.
    pub reserved: u8,
    /// Owner of this state, for helpers; set by the run loop before it enters translated code.
    pub owner: usize,
    /// Host address of the first byte of the paging-off range (jit.md, 1).
    pub range_host: u64,
    /// Functions that translated code calls, by their row in the helper table.
    pub helpers: [usize; HELPERS],
    /// Indirect-branch cache.
    pub jump_cache: [JumpCacheEntry; JUMP_CACHE_SIZE],
}

impl CpuState {
    /// All zero, except what must not be: the state before [`crate::Cpu`] resets it.
    #[must_use]
    pub fn new_boxed() -> Box<Self> {
        Box::new(Self {
            gpr: [0; 16],
            eip: 0,
            eflags: eflags::FIXED,
            cc_op: CcOp::EFLAGS,
            cc_a: 0,
            cc_b: 0,
            cc_c: 0,
            cc_patch: 0,
            reserved_flags: 0,
            budget: 0,
            leave: 0,
            exit_site: 0,
            helper_status: 0,
            access_la: 0,
            access_meta: 0,
            access_value: 0,
            context: 0,
            epoch: 1,
            exit_cell: 0,
            read_windows: [Window::default(); WINDOWS],
            write_windows: [Window::default(); WINDOWS],
            window_generation: [1; 2],
            pages: [[PageEntry::default(); PAGE_ENTRIES]; 2],
            segs: [Segment::default(); 6],
            ldtr: Segment::default(),
            tr: Segment::default(),
            gdtr: TableReg::default(),
            idtr: TableReg::default(),
            cr0: cr::CR0_ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400],
            cpl: 0,
            halted: false,
            interrupt_shadow: false,
            reserved: 0,
            owner: 0,
            range_host: 0,
            helpers: [0; HELPERS],
            jump_cache: [JumpCacheEntry { tag: u64::MAX, cell: 0 }; JUMP_CACHE_SIZE],
        })
    }

    /// Empties every window and drops every page entry.
    pub fn clear_windows(&mut self) {
        self.read_windows = [Window::default(); WINDOWS];
        self.next_generation(0);
        self.clear_write_windows();
    }

    /// Empties the windows that hold linear page `page`, and drops all page entries.
    pub fn drop_windows(&mut self, page: u32) {
        let la = page << 12;
        for window in self.read_windows.iter_mut().chain(&mut self.write_windows) {
            if window.covers(la, 1) {
                *window = Window::default();
            }
        }
        self.next_generation(0);
        self.next_generation(1);
    }

    /// Empties the windows for stores and drops their page entries.
    pub fn clear_write_windows(&mut self) {
        self.write_windows = [Window::default(); WINDOWS];
        self.next_generation(1);
    }

    fn next_generation(&mut self, direction: usize) {
        let generation = &mut self.window_generation[direction];
        *generation = generation.wrapping_add(1);
        if *generation == 0 {
            *generation = 1;
            self.pages[direction] = [PageEntry::default(); PAGE_ENTRIES];
        }
    }

    /// Takes over a window that holds `la`: into its place, and the page of `la` into the page entries.
    pub fn set_window(&mut self, number: usize, write: bool, window: Window, la: u32) {
        let windows = if write { &mut self.write_windows } else { &mut self.read_windows };
        windows[number] = window;
        let (page, direction) = (la >> 12, usize::from(write));
        let tag = u64::from(self.window_generation[direction]) << 32 | u64::from(page);
        self.pages[direction][page as usize % PAGE_ENTRIES] = PageEntry { tag, window };
    }

    /// Empties the jump cache.
    pub fn clear_jump_cache(&mut self) {
        self.jump_cache.fill(JumpCacheEntry { tag: u64::MAX, cell: 0 });
    }
}
