#![forbid(unsafe_code)]
//! A random program with the system around it: tables, handlers, pages, and the state it starts in.
//!
//! The system is the same for all programs of a variant: descriptor tables, page tables, a handler that logs an
//! exception and goes on at the next address of a resume table, one that counts traps and interrupts and
//! returns, and one that ends the program. All of it is guest code, so translated code runs it too.

use cpu::layout::{Segment, TableReg};
use cpu::{Cpu, attr, cr, eflags};
use isa::SegReg;

use crate::bench::{BLOCK, ROM};
use crate::code::Code;

/// Bytes of RAM of the bench that programs run on.
pub const RAM_BYTES: u64 = 0x2_4000;

/// Addresses of the parts.
pub mod at {
    /// Interrupt descriptor table.
    pub const IDT: u32 = 0x1000;
    /// Global descriptor table.
    pub const GDT: u32 = 0x2000;
    /// Task-state segment.
    pub const TSS: u32 = 0x2200;
    /// Page directory.
    pub const DIRECTORY: u32 = 0x3000;
    /// Page table of the first 4 MiB.
    pub const TABLE: u32 = 0x4000;
    /// Handlers.
    pub const HANDLERS: u32 = 0x5000;
    /// Top of the ring 0 stack that ring 3 programs get.
    pub const KERNEL_STACK: u32 = 0x7000;
    /// Exceptions so far; then traps so far; from +0x10 on the exceptions, eight bytes each.
    pub const LOG: u32 = 0x7000;
    /// Sixteen addresses to go on at after exceptions.
    pub const RESUME: u32 = 0x7800;
    /// Program stack: two pages with the pointer in the middle.
    pub const STACK: u32 = 0x9000;
    /// Program code: two pages.
    pub const CODE: u32 = 0x1_0000;
    /// Data: four pages.
    pub const DATA: u32 = 0x1_4000;
    /// With paging, a page that only may be read.
    pub const READ_ONLY: u32 = 0x1_8000;
    /// With paging, a page for ring 0.
    pub const SUPERVISOR: u32 = 0x1_9000;
    /// With paging, a page that is not there.
    pub const ABSENT: u32 = 0x1_a000;
    /// With paging, the first data page again.
    pub const DATA_ALIAS: u32 = 0x1_b000;
    /// With paging, the code pages again.
    pub const CODE_ALIAS: u32 = 0x1_c000;
    /// With paging, all of RAM again through a 4 MiB page.
    pub const LARGE_ALIAS: u32 = 0x40_0000;
}

/// Exceptions after which a program is ended.
const MOST_EXCEPTIONS: u8 = 24;
/// Addresses in the resume table; a power of two.
pub const RESUMES: usize = 16;
/// Software interrupt that returns.
pub const INT_RETURN: u8 = 0x30;
/// Software interrupt that ends the program.
pub const INT_END: u8 = 0x31;

/// Selectors.
pub mod selector {
    #![expect(missing_docs, reason = "the names say it")]
    pub const KERNEL_CODE: u16 = 0x08;
    pub const KERNEL_DATA: u16 = 0x10;
    pub const USER_CODE: u16 = 0x1b;
    pub const USER_DATA: u16 = 0x23;
    pub const TASK: u16 = 0x28;
    /// Data from [`super::at::DATA`] on, four pages, counted in bytes.
    pub const SMALL_DATA: u16 = 0x33;
    /// Data from one page before it on, six pages, counted in pages.
    pub const PAGE_DATA: u16 = 0x3b;
    /// Code from [`super::at::CODE`] on, two pages.
    pub const SMALL_KERNEL_CODE: u16 = 0x40;
    pub const SMALL_USER_CODE: u16 = 0x4b;
    /// Expand-down data: offsets above [`super::at::DATA`] only.
    pub const DOWN_DATA: u16 = 0x53;
    /// Data that may not be written.
    pub const READ_DATA: u16 = 0x5b;
    /// Data that is not present.
    pub const ABSENT_DATA: u16 = 0x63;
}

/// What a program is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Variant {
    /// 4 KiB paging with pages of several kinds.
    pub paging: bool,
    /// Runs in ring 3.
    pub ring3: bool,
    /// CS, DS and ES are neither flat nor alike.
    pub segments: bool,
    /// Stores into its own code.
    pub self_modify: bool,
    /// Interrupts come at random counts.
    pub interrupts: bool,
    /// I/O privilege in ring 3.
    pub io_privilege: bool,
    /// CR0.WP.
    pub write_protect: bool,
}

/// A program, ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Seed that it was made from.
    pub seed: u64,
    /// What it is like.
    pub variant: Variant,
    /// All of RAM.
    pub image: Vec<u8>,
    /// EIP of its first instruction.
    pub entry: u32,
    /// General-purpose registers at the start.
    pub gpr: [u32; 8],
    /// EFLAGS at the start.
    pub eflags: u32,
    /// Instructions after which it is stopped.
    pub limit: u64,
    /// Instruction counts at which an interrupt is raised, sorted.
    pub interrupts: Vec<u64>,
    /// Instruction counts at which executors are compared on the way, sorted.
    pub checkpoints: Vec<u64>,
}

/// Bytes of the descriptor of a segment.
fn descriptor(base: u32, limit: u32, attrs: u32) -> [u8; 8] {
    let (base, limit, attrs) = (u64::from(base), u64::from(limit), u64::from(attrs));
    let low = limit & 0xffff | (base & 0x00ff_ffff) << 16;
    (low | attrs << 40 | (limit & 0x000f_0000) << 32 | (base & 0xff00_0000) << 32).to_le_bytes()
}

/// Base, raw limit and attributes of each segment, from selector 8 on.
const SEGMENTS: [(u32, u32, u32); 12] = {
    const DATA: u32 = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::DB;
    const CODE: u32 = DATA | attr::CODE;
    const USER: u32 = attr::DPL;
    [
        (0, 0xf_ffff, CODE | attr::G),
        (0, 0xf_ffff, DATA | attr::G),
        (0, 0xf_ffff, CODE | USER | attr::G),
        (0, 0xf_ffff, DATA | USER | attr::G),
        // A busy 32-bit TSS.
        (at::TSS, 0x67, attr::P | 11),
        (at::DATA, 0x3fff, DATA | USER),
        (at::DATA - 0x1000, 5, DATA | USER | attr::G),
        (at::CODE, 0x1fff, CODE),
        (at::CODE, 0x1fff, CODE | USER),
        (0, at::DATA - 1, DATA | USER | attr::DC),
        (0, 0xf_ffff, DATA & !attr::RW | USER | attr::G),
        (0, 0xf_ffff, DATA & !attr::P | USER | attr::G),
    ]
};

/// The segment that `selector` names, as loading it gives it.
fn segment(selector: u16) -> Segment {
    let Some((base, limit, attrs)) = usize::from(selector >> 3).checked_sub(1).map(|number| SEGMENTS[number])
    else {
        return Segment { selector, ..Segment::default() };
    };
    let limit = if attrs & attr::G != 0 { limit << 12 | 0xfff } else { limit };
    Segment { base: u64::from(base), limit, attrs, selector, ..Segment::default() }
}

impl Variant {
    /// Selectors of ES, CS, SS, DS, FS and GS at the start.
    #[must_use]
    pub const fn selectors(self) -> [u16; 6] {
        use selector::{
            DOWN_DATA, KERNEL_CODE, KERNEL_DATA, PAGE_DATA, READ_DATA, SMALL_DATA, SMALL_KERNEL_CODE,
            SMALL_USER_CODE, USER_CODE, USER_DATA,
        };
        let (flat_code, flat_data) =
            if self.ring3 { (USER_CODE, USER_DATA) } else { (KERNEL_CODE, KERNEL_DATA) };
        let small_code = if self.ring3 { SMALL_USER_CODE } else { SMALL_KERNEL_CODE };
        if self.segments {
            [PAGE_DATA, small_code, flat_data, SMALL_DATA, DOWN_DATA, READ_DATA]
        } else {
            [flat_data, flat_code, flat_data, flat_data, flat_data, flat_data]
        }
    }

    /// Base of the segment `seg` at the start.
    #[must_use]
    pub fn base(self, seg: SegReg) -> u32 {
        segment(self.selectors()[seg.index()]).base as u32
    }

    /// What the tables and handlers of the variant look like in RAM.
    #[must_use]
    pub fn system_image(self) -> Vec<u8> {
        let mut image = vec![0; RAM_BYTES as usize];
        put(
            &mut image,
            at::GDT + 8,
            &SEGMENTS.map(|(base, limit, attrs)| descriptor(base, limit, attrs)).concat(),
        );
        put(&mut image, at::TSS + 4, &at::KERNEL_STACK.to_le_bytes());
        put(&mut image, at::TSS + 8, &u32::from(selector::KERNEL_DATA).to_le_bytes());
        // No I/O permission map: its offset lies behind the segment's limit.
        put(&mut image, at::TSS + 0x66, &0x68u16.to_le_bytes());
        handlers(&mut image);
        if self.paging {
            self.page_tables(&mut image);
        }
        image
    }

    fn page_tables(self, image: &mut [u8]) {
        const PRESENT: u32 = 1;
        const WRITABLE: u32 = 2;
        const USER: u32 = 4;
        const ACCESSED: u32 = 0x20;
        const LARGE: u32 = 0x80;
        let mut entry =
            |table: u32, number: u32, value: u32| put(image, table + 4 * number, &value.to_le_bytes());
        entry(at::DIRECTORY, 0, at::TABLE | PRESENT | WRITABLE | USER);
        let large_user = if self.ring3 { 0 } else { USER };
        entry(at::DIRECTORY, at::LARGE_ALIAS >> 22, PRESENT | WRITABLE | large_user | LARGE);
        for page in 0..1024u32 {
            let address = page << 12;
            let (frame, rights) = match address {
                // Nobody but the explicit edits writes the tables: a stale TLB entry may be seen or not.
                at::DIRECTORY | at::TABLE => (address, PRESENT),
                0..at::STACK if address < at::STACK - 0x1000 => (address, PRESENT | WRITABLE),
                at::READ_ONLY => (address, PRESENT | USER),
                at::SUPERVISOR => (address, PRESENT | WRITABLE),
                at::ABSENT => (address, 0),
                at::DATA_ALIAS => (at::DATA, PRESENT | WRITABLE | USER),
                // Instruction fetch may look ahead into the next page, which the architecture allows; so the
                // accessed bit of code pages tells nothing.
                at::CODE..=0x1_2fff => (address, PRESENT | WRITABLE | USER | ACCESSED),
                _ if address & !0x1000 == at::CODE_ALIAS => {
                    (at::CODE + (address & 0x1000), PRESENT | WRITABLE | USER)
                }
                _ => (address, PRESENT | WRITABLE | USER),
            };
            entry(at::TABLE, page, frame | rights);
        }
    }
}

/// Copies `bytes` to `address` of the image.
pub(crate) fn put(image: &mut [u8], address: u32, bytes: &[u8]) {
    let from = address as usize;
    image[from..from + bytes.len()].copy_from_slice(bytes);
}

/// Whether the processor pushes an error code (SDM Vol. 3A table 6-1).
pub(crate) const fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}

/// Writes the IDT and the handlers.
fn handlers(image: &mut [u8]) {
    let mut code = Code::at(at::HANDLERS);
    let common = code.label();
    let mut gates = Vec::new();
    for vector in 0..0x20u8 {
        let traps = matches!(vector, 1 | 3 | 4);
        gates.push((vector, code.here(), traps));
        if traps {
            return_from_trap(&mut code);
            continue;
        }
        if !has_error_code(vector) {
            code.put(&[0x6a, 0x00]); // push 0
        }
        code.put(&[0x6a, vector, 0xe9]); // push vector; jmp common
        code.put_relative(common);
    }
    for vector in crate::bench::VECTORS.into_iter().chain([INT_RETURN]) {
        gates.push((vector, code.here(), vector == INT_RETURN));
        return_from_trap(&mut code);
    }
    gates.push((INT_END, code.here(), true));
    code.put(&[0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; jmp to hlt
    code.bind(common);
    log_and_resume(&mut code);
    for (vector, address, from_ring3) in gates {
        put(image, at::IDT + 8 * u32::from(vector), &gate(address, from_ring3));
    }
    put(image, at::HANDLERS, &code.finish());
}

/// An interrupt gate to ring 0.
pub(crate) fn gate(address: u32, from_ring3: bool) -> [u8; 8] {
    let dpl: u64 = if from_ring3 { 3 << 45 } else { 0 };
    let (low, high) = (u64::from(address & 0xffff), u64::from(address >> 16) << 48);
    (low | u64::from(selector::KERNEL_CODE) << 16 | 0x8e << 40 | dpl | high).to_le_bytes()
}

/// Counts a trap or interrupt, clears TF in the flags to return to, and returns.
fn return_from_trap(code: &mut Code) {
    code.put(&[0x36, 0xff, 0x05]); // inc dword [ss:LOG + 4]
    code.put32(at::LOG + 4);
    code.put(&[0x81, 0x64, 0x24, 0x08, 0xff, 0xfe, 0xff, 0xff]); // and dword [esp + 8], ~TF
    code.put(&[0xcf]); // iret
}

/// Logs vector and error code, and returns to the next address of the resume table.
///
/// The stack holds, from its top on, vector, error code, EIP, CS, EFLAGS.
fn log_and_resume(code: &mut Code) {
    let end = code.label();
    code.put(&[0x60, 0x1e]); // pusha; push ds
    code.put(&[0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8]); // mov ax, KERNEL_DATA; mov ds, ax
    code.put(&[0x8b, 0x1d]); // mov ebx, [LOG]
    code.put32(at::LOG);
    code.put(&[0xff, 0x05]); // inc dword [LOG]
    code.put32(at::LOG);
    code.put(&[0x83, 0xfb, MOST_EXCEPTIONS]); // cmp ebx, MOST_EXCEPTIONS
    code.put(&[0x0f, 0x83]); // jae end
    code.put_relative(end);
    for (slot, field) in [(0x24, 0x10), (0x28, 0x14)] {
        code.put(&[0x8b, 0x44, 0x24, slot]); // mov eax, [esp + slot]
        code.put(&[0x89, 0x04, 0xdd]); // mov [ebx * 8 + LOG + field], eax
        code.put32(at::LOG + field);
    }
    code.put(&[0x83, 0xe3, RESUMES as u8 - 1]); // and ebx, RESUMES - 1
    code.put(&[0x8b, 0x04, 0x9d]); // mov eax, [ebx * 4 + RESUME]
    code.put32(at::RESUME);
    code.put(&[0x89, 0x44, 0x24, 0x2c]); // mov [esp + 0x2c], eax
    code.put(&[0x81, 0x64, 0x24, 0x34, 0xff, 0xfe, 0xff, 0xff]); // and dword [esp + 0x34], ~TF
    code.put(&[0x1f, 0x61, 0x83, 0xc4, 0x08, 0xcf]); // pop ds; popa; add esp, 8; iret
    code.bind(end);
    code.put(&[0xfa, 0xf4, 0xeb, 0xfd]); // cli; hlt; jmp to hlt
}

impl Program {
    /// Puts the processor into the state that the program starts in. RAM must hold its image already.
    pub fn start(&self, cpu: &mut Cpu) {
        cpu.set_flat_protected(self.entry);
        let state = &mut *cpu.state;
        for (register, value) in state.gpr.iter_mut().zip(self.gpr) {
            *register = u64::from(value);
        }
        state.eflags = self.eflags | eflags::FIXED;
        state.segs = self.variant.selectors().map(segment);
        state.cpl = if self.variant.ring3 { 3 } else { 0 };
        state.tr = segment(selector::TASK);
        state.ldtr = Segment::default();
        state.gdtr =
            TableReg { base: u64::from(at::GDT), limit: 8 * (SEGMENTS.len() as u32 + 1) - 1, reserved: 0 };
        state.idtr = TableReg { base: u64::from(at::IDT), limit: 8 * 0x32 - 1, reserved: 0 };
        if self.variant.paging {
            state.cr3 = at::DIRECTORY;
            state.cr4 = cr::CR4_PSE;
            state.cr0 |= cr::CR0_PG;
        }
        if self.variant.write_protect {
            state.cr0 |= cr::CR0_WP;
        }
        cpu.paging_changed();
    }
}

/// Addresses of pages side by side of which one is no RAM.
pub(crate) const SEAMS: [u32; 3] = [ROM, BLOCK, BLOCK + 0x1000];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_their_fields_in_place() {
        let bytes = u64::from_le_bytes(descriptor(0x1234_5678, 0xa_bcde, 0xc093));
        assert_eq!(bytes, 0x12ca_9334_5678_bcde);
    }

    #[test]
    fn page_tables_show_what_the_addresses_say() {
        let image = Variant { paging: true, ring3: true, ..Variant::default() }.system_image();
        let entry = |address: u32| {
            let from = (at::TABLE + (address >> 12) * 4) as usize;
            u32::from_le_bytes(image[from..from + 4].try_into().unwrap())
        };
        assert_eq!(entry(at::DATA), at::DATA | 7);
        assert_eq!(entry(at::READ_ONLY), at::READ_ONLY | 5);
        assert_eq!(entry(at::SUPERVISOR), at::SUPERVISOR | 3);
        assert_eq!(entry(at::ABSENT) & 1, 0);
        assert_eq!(entry(at::DATA_ALIAS), at::DATA | 7);
        assert_eq!(entry(at::CODE_ALIAS + 0x1000), (at::CODE + 0x1000) | 7);
        assert_eq!(entry(at::IDT), at::IDT | 3);
        assert_eq!(entry(at::STACK - 1), (at::STACK - 0x1000) | 7);
    }
}
