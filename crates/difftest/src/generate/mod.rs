#![forbid(unsafe_code)]
//! Random 32-bit programs: a pure function of the seed.
//!
//! A program is a few blocks that branch to each other, a few subroutines, and an end. Its instructions are
//! biased to what goes wrong: producers and consumers of flags, parts of registers, accesses at page ends and
//! seams, faults in the middle, stores into its own code, strings, changes of flags and segments. Every
//! outcome is determined: page-table entries that the TLB may hold are followed by INVLPG or a load of CR3, and
//! entries are only completed (absent to present) without. Bounded by the instruction limit alone.

mod encode;
mod families;

use isa::SegReg;

use self::encode::{EAX, EBP, EBX, ECX, EDI, EDX, ESI, ESP};
use crate::code::{Code, Label};
use crate::program::{INT_END, Program, RAM_BYTES, RESUMES, SEAMS, Variant, at, put};
use crate::rng::Rng;

/// The program of `seed`.
#[must_use]
pub fn generate(seed: u64) -> Program {
    let mut rng = Rng::part(seed, 0x9e4);
    let variant = variant(&mut rng);
    generate_variant(seed, variant)
}

/// The program of `seed`, of a kind that the caller chooses.
#[must_use]
pub fn generate_variant(seed: u64, variant: Variant) -> Program {
    let mut rng = Rng::part(seed, 0x9e5);
    // Now and then the code crosses a page.
    let origin = at::CODE + if rng.percent(30) { 0xf00 + rng.below(0xf0) } else { rng.below(0x40) };
    let mut writer = Writer {
        variant,
        code: Code::at(origin),
        blocks: Vec::new(),
        routines: Vec::new(),
        immediates: Vec::new(),
        patches: Vec::new(),
        base: variant.base(SegReg::Cs),
        rng,
    };
    writer.program();
    writer.finish(seed, origin)
}

fn variant(rng: &mut Rng) -> Variant {
    let (paging, ring3) = (rng.percent(40), rng.percent(30));
    Variant {
        paging,
        ring3,
        segments: rng.percent(15),
        self_modify: rng.percent(25),
        interrupts: rng.percent(30),
        io_privilege: ring3 && rng.percent(50),
        // A ring 0 program with paging must not write its page tables by chance.
        write_protect: paging && !ring3 || rng.percent(50),
    }
}

struct Writer {
    rng: Rng,
    variant: Variant,
    code: Code,
    /// Blocks of the program, in order; all labels exist before the first is written.
    blocks: Vec<Label>,
    routines: Vec<Label>,
    /// Addresses of immediates and one-byte instructions that a store may change: address and kind.
    immediates: Vec<(u32, Patch)>,
    /// Stores into the code whose address field is chosen at the end.
    patches: Vec<(Label, Patch)>,
    /// Base of CS.
    base: u32,
}

/// What a store into the code changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patch {
    /// A 32-bit immediate.
    Immediate,
    /// An INC or DEC of a register.
    Opcode,
}

impl Writer {
    fn program(&mut self) {
        let (blocks, routines) = (self.rng.within(2, 7), self.rng.within(1, 3));
        self.blocks = (0..=blocks).map(|_| self.code.label()).collect();
        self.routines = (0..routines).map(|_| self.code.label()).collect();
        for number in 0..blocks as usize {
            self.code.bind(self.blocks[number]);
            for _ in 0..self.rng.within(2, 10) {
                self.instruction();
            }
            self.terminator(number);
        }
        self.code.bind(self.blocks[blocks as usize]);
        self.code.put(&[0xcd, INT_END, 0xeb, 0xfe]);
        for number in 0..routines as usize {
            self.code.bind(self.routines[number]);
            for _ in 0..self.rng.within(1, 6) {
                self.instruction();
            }
            self.leave_routine();
        }
    }

    fn finish(mut self, seed: u64, origin: u32) -> Program {
        let mut image = self.variant.system_image();
        self.bind_patches(origin);
        self.resume_table(&mut image);
        self.data(&mut image);
        let gpr = self.registers();
        let rng = &mut self.rng;
        let interrupt_flag = if rng.percent(70) { 0x200 } else { 0 };
        let io_privilege = if self.variant.io_privilege { 0x3000 } else { 0 };
        let eflags = interrupt_flag | io_privilege | rng.next_u32() & 0x8d5;
        let limit = u64::from(rng.within(60, 500));
        let interrupts = if self.variant.interrupts { counts(rng, 6, limit) } else { Vec::new() };
        let checkpoints = if rng.percent(25) { counts(rng, 3, limit) } else { Vec::new() };
        put(&mut image, origin, &self.code.finish());
        let entry = origin.wrapping_sub(self.base);
        Program { seed, variant: self.variant, image, entry, gpr, eflags, limit, interrupts, checkpoints }
    }

    /// Lets each store into the code hit one of the places that it may change.
    fn bind_patches(&mut self, origin: u32) {
        for (label, kind) in std::mem::take(&mut self.patches) {
            let places: Vec<u32> = self
                .immediates
                .iter()
                .filter(|(_, other)| *other == kind)
                .map(|(address, _)| *address)
                .collect();
            let place = if places.is_empty() { origin } else { self.rng.pick(&places) };
            let aliased = self.variant.paging && self.rng.percent(30);
            let address = if aliased { place - at::CODE + at::CODE_ALIAS } else { place };
            self.code.bind_at(label, address);
        }
    }

    fn resume_table(&mut self, image: &mut [u8]) {
        let last = self.blocks.len() as u32 - 1;
        for number in 0..RESUMES as u32 {
            let block = (number / 2 + self.rng.below(3)).min(last);
            let address = self.code.address_of(self.blocks[block as usize]).expect("all blocks are bound");
            put(image, at::RESUME + 4 * number, &address.wrapping_sub(self.base).to_le_bytes());
        }
    }

    fn data(&mut self, image: &mut [u8]) {
        let (from, to) = (at::DATA as usize, at::DATA_ALIAS as usize);
        self.rng.fill(&mut image[from..to]);
        let (from, to) = (at::STACK as usize - 0x40, at::STACK as usize + 0x40);
        self.rng.fill(&mut image[from..to]);
    }

    fn registers(&mut self) -> [u32; 8] {
        let mut gpr = [0; 8];
        for register in [EAX, ECX, EDX] {
            gpr[usize::from(register)] = self.rng.operand();
        }
        for register in [EBX, EBP, ESI, EDI] {
            gpr[usize::from(register)] = self.pointer(register);
        }
        gpr[usize::from(ESP)] = at::STACK + (self.rng.below(8) << 2);
        gpr
    }

    /// A value for a pointer register: mostly into data, sometimes to an edge, seldom elsewhere.
    fn pointer(&mut self, register: u8) -> u32 {
        let seg = if register == EBP { SegReg::Ss } else { SegReg::Ds };
        let linear = match self.rng.below(20) {
            0..=9 => at::DATA + self.rng.below(0x3f00),
            10..=12 => at::DATA + 0x1000 * self.rng.within(1, 4) - self.rng.below(8),
            13 | 14 => self.rng.pick(&SEAMS) - self.rng.below(6),
            15 => at::STACK + self.rng.below(0x80) - 0x40,
            16 if self.variant.paging => {
                let pages = [at::READ_ONLY, at::SUPERVISOR, at::ABSENT, at::DATA_ALIAS];
                self.rng.pick(&pages) + self.rng.below(8) - 4
            }
            17 if self.variant.paging => at::LARGE_ALIAS + at::DATA + self.rng.below(0x4000),
            18 if self.variant.self_modify => self.code.here().wrapping_sub(self.rng.below(0x20)),
            19 => RAM_BYTES as u32 - self.rng.below(12),
            _ => at::DATA + self.rng.below(0x1000),
        };
        linear.wrapping_sub(self.variant.base(seg))
    }

    /// Ends block `number`: goes on, branches, loops, calls, or jumps through a register.
    fn terminator(&mut self, number: usize) {
        let target = self.any_block(number);
        match self.rng.below(14) {
            0..=2 => {
                let condition = self.rng.below(16) as u8;
                self.code.put(&[0x0f, 0x80 | condition]);
                self.code.put_relative(target);
            }
            3 => {
                self.code.put(&[0xe9]);
                self.code.put_relative(target);
            }
            4..=6 => self.counted_loop(number),
            7 | 8 => self.call(),
            9 => {
                let register = self.rng.pick(&[EAX, ECX, EDX]);
                self.code.put(&[0xb8 | register]);
                self.code.put_absolute(target, self.base);
                self.code.put(&[0xff, 0xe0 | register]); // jmp register
            }
            10 => self.short_loop(number),
            11 => {
                // A branch on a comparison that has just been made.
                self.alu();
                let condition = self.rng.below(16) as u8;
                self.code.put(&[0x0f, 0x80 | condition]);
                self.code.put_relative(target);
            }
            _ => {}
        }
    }

    /// A block: mostly a later one than `number`.
    fn any_block(&mut self, number: usize) -> Label {
        let count = self.blocks.len() as u32;
        let block = if self.rng.percent(75) {
            self.rng.within(number as u32 + 1, count)
        } else {
            self.rng.below(count)
        };
        self.blocks[block as usize]
    }

    /// Repeats the block a few times by a counter in memory.
    fn counted_loop(&mut self, number: usize) {
        // The fill of the data pages is the counter's start; the mask makes it small.
        let counter = at::DATA + 0x3f00 + 4 * number as u32 - self.variant.base(SegReg::Ds);
        self.code.put(&[0x83, 0x25]); // and dword [counter], 7
        self.code.put32(counter);
        self.code.put(&[0x07, 0xff, 0x0d]); // dec dword [counter]
        self.code.put32(counter);
        self.code.put(&[0x0f, 0x8f]); // jg block
        self.code.put_relative(self.blocks[number]);
    }

    /// LOOP back to the block if it is near enough.
    fn short_loop(&mut self, number: usize) {
        let start = self.code.address_of(self.blocks[number]).expect("the block has begun");
        self.code.put(&[0x83, 0xe1, 0x07]); // and ecx, 7
        let distance = self.code.here() + 2 - start;
        if let Ok(back) = i8::try_from(distance) {
            let branch = self.rng.within(0xe0, 0xe3) as u8;
            self.code.put(&[branch, back.wrapping_neg() as u8]);
        }
    }

    fn call(&mut self) {
        let routines = self.routines.clone();
        let routine = self.rng.pick(&routines);
        if self.rng.percent(70) {
            self.code.put(&[0xe8]);
            self.code.put_relative(routine);
        } else {
            let register = self.rng.pick(&[EAX, ECX, EDX]);
            self.code.put(&[0xb8 | register]);
            self.code.put_absolute(routine, self.base);
            self.code.put(&[0xff, 0xd0 | register]); // call register
        }
    }

    fn leave_routine(&mut self) {
        if self.rng.percent(85) {
            self.code.put(&[0xc3]);
        } else {
            let extra = self.rng.below(3) as u8 * 4;
            self.code.put(&[0xc2, extra, 0]);
        }
    }
}

/// Up to `most` different counts below `limit`, sorted.
fn counts(rng: &mut Rng, most: u32, limit: u64) -> Vec<u64> {
    let number = rng.within(1, most + 1);
    let mut counts: Vec<u64> = (0..number).map(|_| u64::from(rng.below(limit as u32))).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use isa::{DecodeMode, Op};

    use super::*;

    #[test]
    fn a_program_is_a_function_of_its_seed() {
        assert_eq!(generate(7), generate(7));
        assert_ne!(generate(7).image, generate(8).image);
    }

    #[test]
    fn variants_all_occur() {
        let seen: BTreeSet<String> = (0..400).map(|seed| format!("{:?}", generate(seed).variant)).collect();
        assert!(seen.len() > 30, "{}", seen.len());
    }

    /// Decodes the programs' code straight on; what an operation lacks here, lockstep never tests.
    #[test]
    fn programs_contain_nearly_every_operation() {
        let mut seen = BTreeSet::new();
        for seed in 0..3000 {
            let program = generate(seed);
            let mut eip = program.entry + program.variant.base(SegReg::Cs);
            let end = at::CODE + 0x1ff0;
            while eip < end && program.image[eip as usize] != 0 {
                let bytes = &program.image[eip as usize..eip as usize + 15];
                let Ok(insn) = isa::decode(bytes, eip, DecodeMode { code32: true }) else { break };
                seen.insert(insn.op.name());
                eip += u32::from(insn.len);
            }
        }
        let rare = [
            Op::Lldt,
            Op::Ltr,
            Op::Lgdt,
            Op::Lidt,
            Op::Rdmsr,
            Op::Wrmsr,
            Op::Rdpmc,
            Op::Wbinvd,
            Op::Invd,
            Op::MovDr,
            Op::Lfs,
            Op::Lgs,
            Op::Lss,
            Op::Lds,
            Op::Les,
            Op::Iret,
            Op::RetFar,
            Op::Sldt,
            Op::Sidt,
            Op::Lmsw,
            Op::Popa,
        ];
        let missing: Vec<_> = Op::ALL
            .iter()
            .filter(|op| !seen.contains(op.name()) && !rare.contains(op))
            .map(|op| op.name())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
