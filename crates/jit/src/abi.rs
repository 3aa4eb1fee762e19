//! What translated code and the run loop agree on: sites, access words, helper rows, offsets.
//!
//! A translation is a function `(state: *mut CpuState, budget: i32, cell: *mut u64)` of Cranelift's `Tail`
//! convention. It leaves by returning, with [`cpu::CpuState::exit_site`] naming the place, or by a tail call
//! through a link cell.

/// Sites per unit: site `n` of unit `u` has the number `u * SITES_PER_UNIT + n`.
pub const SITES_PER_UNIT: u32 = 1 << 12;

/// `exit_site` of the stub behind an unlinked cell; `exit_cell` names the cell.
pub const SITE_UNLINKED: u32 = u32::MAX;
/// `exit_site` when the jump cache had no entry; EIP is stored.
pub const SITE_LOOKUP: u32 = u32::MAX - 1;

/// The word that describes one access to a helper.
pub mod access {
    /// Bits 0-7: bytes.
    pub const SIZE: u32 = 0xff;
    /// The access is a store.
    pub const WRITE: u32 = 1 << 8;
    /// A load whose value the same instruction stores again: all checks are those of the store.
    pub const FOR_WRITE: u32 = 1 << 9;
    /// Shift of the window's number.
    pub const WINDOW_SHIFT: u32 = 11;
    /// The bits of the window's number after shifting.
    pub const WINDOW: u32 = cpu::layout::WINDOWS as u32 - 1;
    /// Shift of the segment register's number.
    pub const SEG_SHIFT: u32 = 16;
    /// The bits of the segment register's number after shifting.
    pub const SEG: u32 = 0xf;
}

/// The word that describes a string instruction to its helper.
pub mod string {
    #![expect(missing_docs, reason = "the operations are the manual's")]
    /// Bits 0-7: bytes of an element.
    pub const SIZE: u32 = 0xff;
    /// Shift of the operation.
    pub const OP_SHIFT: u32 = 8;
    /// The bits of the operation after shifting.
    pub const OP: u32 = 7;
    pub const MOVS: u32 = 0;
    pub const CMPS: u32 = 1;
    pub const SCAS: u32 = 2;
    pub const LODS: u32 = 3;
    pub const STOS: u32 = 4;
    /// REP or REPE.
    pub const REPE: u32 = 1 << 12;
    /// REPNE.
    pub const REPNE: u32 = 1 << 13;
}

/// What a helper leaves in `helper_status`.
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// Leave at this site; an exception or trap is pending.
    pub const FAULT: u32 = 1;
    /// Leave at this site; the access cannot be made directly.
    pub const NOT_DIRECT: u32 = 2;
    /// Leave: the state is complete and EIP says where to go on.
    pub const RESUME: u32 = 3;
}

/// One list of the functions that translated code calls: name, what it does.
#[macro_export]
macro_rules! for_each_helper {
    ($row:ident) => {
        $row! {
            /// Makes the window of the access in `access_la` and `access_meta`.
            FillWindow = 0,
            /// Makes the access in `access_la` and `access_meta` over the bus; the value goes both ways
            /// through `access_value`.
            Access = 1,
            /// Runs the one instruction at EIP in the interpreter.
            Delegate = 2,
            /// Derives the arithmetic flags into EFLAGS.
            Flags = 3,
            /// Reads or writes the port in `access_la`.
            Port = 4,
            /// Runs the string instruction in `access_meta` on the index registers in the state.
            String = 5,
        }
    };
}

macro_rules! helper_enum {
    ($($(#[$doc:meta])* $name:ident = $number:expr,)*) => {
        /// A row of the helper table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Helper { $($(#[$doc])* $name = $number,)* }

        impl Helper {
            /// Every row.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}
for_each_helper!(helper_enum);

/// Number of helpers.
pub const HELPER_COUNT: usize = Helper::ALL.len();

/// Where the Rust functions behind the thunks stand in the helper table.
pub const HELPER_BODIES: usize = 16;
