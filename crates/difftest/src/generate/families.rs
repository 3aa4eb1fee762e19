//! Instructions at random, family by family.

use isa::SegReg;

use super::encode::{EAX, EBP, EBX, ECX, EDI, EDX, ESI, W};
use super::{Patch, Writer};
use crate::bench::PORTS;
use crate::program::{INT_RETURN, at, selector};

impl Writer {
    /// One instruction, or a few that belong together.
    pub(super) fn instruction(&mut self) {
        match self.rng.below(100) {
            0..=19 => self.alu(),
            20..=24 => self.inc_dec(),
            25..=33 => self.shift(),
            34..=38 => self.multiply_divide(),
            39..=49 => self.moves(),
            50..=54 => self.conditional(),
            55..=59 => self.bits(),
            60..=66 => self.stack(),
            67..=69 => self.decimal(),
            70..=74 => self.string(),
            75..=78 => self.flags(),
            79..=80 => self.port(),
            81..=83 => self.exchange(),
            84..=88 => self.point(),
            89..=91 => self.skip(),
            92 => self.fault(),
            93..=94 => self.segment(),
            95..=96 => self.system(),
            97..=98 => self.modify(),
            _ => self.oddity(),
        }
    }

    pub(super) fn alu(&mut self) {
        let (operation, width) = (self.rng.below(8) as u8, self.width());
        let opcode = operation << 3 | width.bit();
        let reg = self.register_of(width);
        match self.rng.below(6) {
            0 | 1 => self.with_operand(width, &[opcode], reg),
            2 | 3 => self.with_operand(width, &[opcode | 2], reg),
            4 => {
                self.with_operand(width, &[0x80 | width.bit()], operation);
                self.immediate(width);
            }
            _ if width == W::B1 || self.rng.percent(50) => {
                self.opcode(width, &[opcode | 4]);
                self.immediate(width);
            }
            _ => {
                self.with_operand(width, &[0x83], operation);
                self.immediate(W::B1);
            }
        }
    }

    fn inc_dec(&mut self) {
        let width = self.width();
        match self.rng.below(5) {
            0 | 1 => {
                let (register, wide) = (self.register(), self.wide());
                let dec = self.rng.below(2) as u8 * 8;
                if wide == W::B4 {
                    self.immediates.push((self.code.here(), Patch::Opcode));
                }
                self.opcode(wide, &[0x40 | dec | register]);
            }
            2 => {
                let operation = self.rng.below(2) as u8;
                self.with_operand(width, &[0xfe | width.bit()], operation);
            }
            3 => {
                let operation = self.rng.within(2, 4) as u8;
                self.with_operand(width, &[0xf6 | width.bit()], operation);
            }
            _ => {
                let reg = self.register_of(width);
                self.with_operand(width, &[0x84 | width.bit()], reg);
            }
        }
    }

    fn shift(&mut self) {
        let (operation, width) = (self.rng.below(8) as u8, self.width());
        match self.rng.below(6) {
            0 | 1 => {
                self.with_operand(width, &[0xc0 | width.bit()], operation);
                let count = self.rng.below(40) as u8;
                self.code.put(&[count]);
            }
            2 => self.with_operand(width, &[0xd0 | width.bit()], operation),
            3 => {
                if self.rng.percent(50) {
                    let count = self.rng.below(36) as u8;
                    self.code.put(&[0xb1, count]); // mov cl, count
                }
                self.with_operand(width, &[0xd2 | width.bit()], operation);
            }
            _ => {
                let (wide, reg) = (self.wide(), self.register());
                let right = self.rng.below(2) as u8 * 8;
                let by_cl = self.rng.below(2) as u8;
                self.with_operand(wide, &[0x0f, 0xa4 | right | by_cl], reg);
                if by_cl == 0 {
                    let count = self.rng.below(34) as u8;
                    self.code.put(&[count]);
                }
            }
        }
    }

    fn multiply_divide(&mut self) {
        let width = self.width();
        match self.rng.below(6) {
            0 | 1 => {
                let operation = self.rng.within(4, 6) as u8;
                self.with_operand(width, &[0xf6 | width.bit()], operation);
            }
            2 => {
                let (wide, reg) = (self.wide(), self.register());
                self.with_operand(wide, &[0x0f, 0xaf], reg);
            }
            3 => {
                let (wide, reg) = (self.wide(), self.register());
                self.with_operand(wide, &[0x69], reg);
                self.immediate(wide);
            }
            4 => {
                let (wide, reg) = (self.wide(), self.register());
                self.with_operand(wide, &[0x6b], reg);
                self.immediate(W::B1);
            }
            _ => self.divide(width),
        }
    }

    /// A division that succeeds about half the time.
    fn divide(&mut self, width: W) {
        if self.rng.percent(60) {
            match width {
                W::B1 => self.code.put(&[0x0f, 0xb6, 0xc0]),   // movzx eax, al
                W::B2 | W::B4 => self.code.put(&[0x31, 0xd2]), // xor edx, edx
            }
        }
        let operation = self.rng.within(6, 8) as u8;
        if self.rng.percent(60) {
            let divisor = self.rng.within(1, 0xff);
            self.code.put(&[0xb9]); // mov ecx, divisor
            self.code.put32(divisor);
            self.opcode(width, &[0xf6 | width.bit()]);
            self.registers_modrm(operation, ECX);
        } else {
            self.with_operand(width, &[0xf6 | width.bit()], operation);
        }
    }

    fn moves(&mut self) {
        let width = self.width();
        let reg = self.register_of(width);
        match self.rng.below(10) {
            0 | 1 => self.with_operand(width, &[0x88 | width.bit()], reg),
            2 | 3 => self.with_operand(width, &[0x8a | width.bit()], reg),
            4 => {
                let register = self.register();
                self.code.put(&[0xb8 | register]);
                self.immediates.push((self.code.here(), Patch::Immediate));
                self.immediate(W::B4);
            }
            5 => {
                self.with_operand(width, &[0xc6 | width.bit()], 0);
                self.immediate(width);
            }
            6 => {
                let (wide, register, kind) =
                    (self.wide(), self.register(), self.rng.pick(&[0xb6, 0xb7, 0xbe, 0xbf]));
                let narrow = kind & 1 == 0;
                if self.rng.percent(40) {
                    self.with_memory(wide, &[0x0f, kind], register);
                } else {
                    self.opcode(wide, &[0x0f, kind]);
                    let source = self.register_of(if narrow { W::B1 } else { W::B4 });
                    self.registers_modrm(register, source);
                }
            }
            7 => {
                let (wide, register) = (self.wide(), self.register());
                self.with_memory(wide, &[0x8d], register);
            }
            8 => {
                let address = self.pointer(EBX);
                let opcode = self.rng.pick(&[0xa0, 0xa1, 0xa2, 0xa3]);
                self.code.put(&[opcode]);
                self.code.put32(address);
            }
            _ => {
                let one = self.rng.pick(&[0x98, 0x99, 0xd7, 0x98, 0x99]);
                let wide = self.wide();
                self.opcode(wide, &[one]);
            }
        }
    }

    /// Consumers of flags.
    fn conditional(&mut self) {
        let condition = self.rng.below(16) as u8;
        match self.rng.below(5) {
            0 | 1 => self.with_operand(W::B1, &[0x0f, 0x90 | condition], 0),
            2 | 3 => {
                let (wide, reg) = (self.wide(), self.register());
                self.with_operand(wide, &[0x0f, 0x40 | condition], reg);
            }
            _ => {
                let one = self.rng.pick(&[0x9f, 0x9e, 0xd6]); // lahf, sahf, salc
                self.code.put(&[one]);
            }
        }
    }

    fn bits(&mut self) {
        let (wide, reg) = (self.wide(), self.register());
        match self.rng.below(4) {
            0 => {
                let opcode = self.rng.pick(&[0xa3, 0xab, 0xb3, 0xbb]);
                if self.rng.percent(50) {
                    let offset = self.rng.within(0, 0x200).wrapping_sub(0x100);
                    self.code.put(&[0xb8 | ECX]);
                    self.code.put32(offset);
                    self.with_memory(wide, &[0x0f, opcode], ECX);
                } else {
                    self.with_operand(wide, &[0x0f, opcode], reg);
                }
            }
            1 => {
                let operation = self.rng.within(4, 8) as u8;
                self.with_operand(wide, &[0x0f, 0xba], operation);
                self.immediate(W::B1);
            }
            2 => {
                let opcode = self.rng.pick(&[0xbc, 0xbd]);
                self.with_operand(wide, &[0x0f, opcode], reg);
            }
            _ => {
                let register = self.register();
                self.opcode(wide, &[0x0f, 0xc8 | register]);
            }
        }
    }

    fn stack(&mut self) {
        let (wide, register) = (self.wide(), self.register());
        match self.rng.below(12) {
            0 | 1 => self.opcode(wide, &[0x50 | register]),
            2 | 3 => self.opcode(wide, &[0x58 | register]),
            4 => {
                self.opcode(wide, &[0x68]);
                self.immediate(wide);
            }
            5 => {
                self.code.put(&[0x6a]);
                self.immediate(W::B1);
            }
            6 => self.with_memory(wide, &[0xff], 6),
            7 => self.with_memory(wide, &[0x8f], 0),
            8 => {
                let all = self.rng.pick(&[0x60, 0x61]); // pusha, popa
                self.opcode(wide, &[all]);
            }
            9 => {
                let pair: &[u8] = if self.rng.percent(80) { &[0x9c, 0x9d] } else { &[0x9c, 0x58] };
                self.code.put(pair);
            }
            10 => {
                let (size, level) = (self.rng.below(0x20) as u8 & !3, self.rng.pick(&[0, 0, 1, 2]));
                self.code.put(&[0xc8, size, 0, level]); // enter size, level
                self.alu();
                self.code.put(&[0xc9]); // leave
            }
            _ => {
                // push imm; popf: any arithmetic flags, DF seldom, TF very seldom.
                let trap = if self.rng.percent(3) { 0x100 } else { 0 };
                let direction = if self.rng.percent(15) { 0x400 } else { 0 };
                let flags = self.rng.next_u32() & 0x8d5 | trap | direction | self.interrupt_flag();
                self.code.put(&[0x68]);
                self.code.put32(flags);
                self.code.put(&[0x9d]);
            }
        }
    }

    fn interrupt_flag(&mut self) -> u32 {
        if self.rng.percent(70) { 0x200 } else { 0 }
    }

    fn decimal(&mut self) {
        let one = self.rng.pick(&[0x27, 0x2f, 0x37, 0x3f, 0xd4, 0xd5]);
        self.code.put(&[one]);
        if one >= 0xd4 {
            let base = self.rng.pick(&[10, 10, 16, 7, 0xff, 0]);
            self.code.put(&[base]);
        }
    }

    fn string(&mut self) {
        let operation = self.rng.pick(&[0xa4, 0xa6, 0xaa, 0xac, 0xae]);
        let width = self.width();
        let repeat = self.rng.pick(&[0, 0xf2, 0xf3, 0xf3]);
        if repeat != 0 {
            self.repeat_count();
        }
        for register in [ESI, EDI] {
            if self.rng.percent(40) {
                self.point_register(register);
            }
        }
        if self.rng.percent(15) {
            let direction = self.rng.pick(&[0xfc, 0xfd]);
            self.code.put(&[direction]);
        }
        if repeat != 0 {
            self.code.put(&[repeat]);
        }
        if self.rng.percent(5) {
            let segment = self.rng.pick(&[0x26, 0x2e, 0x36]);
            self.code.put(&[segment]);
        }
        self.opcode(width, &[operation | width.bit()]);
    }

    /// ECX small, seldom larger than what one execution of a repeated instruction handles.
    fn repeat_count(&mut self) {
        if self.rng.percent(10) {
            return self.code.put(&[0x83, 0xe1, 0x1f]); // and ecx, 31
        }
        let large = self.rng.percent(1);
        let count = if large { cpu::REP_CHUNK - 2 + self.rng.below(5) } else { self.rng.below(24) };
        self.code.put(&[0xb8 | ECX]); // mov ecx, count
        self.code.put32(count);
    }

    fn flags(&mut self) {
        let one = match self.rng.below(10) {
            0..=6 => self.rng.pick(&[0xf5, 0xf8, 0xf9]),
            7 | 8 => 0xfc,
            _ => 0xfd,
        };
        self.code.put(&[one]);
        if self.rng.percent(20) && (!self.variant.ring3 || self.variant.io_privilege) {
            let one = self.rng.pick(&[0xfa, 0xfb, 0xfb]);
            self.code.put(&[one]);
        }
    }

    fn port(&mut self) {
        let (width, port) = (self.width(), u32::from(PORTS.0) + self.rng.below(u32::from(PORTS.1) + 1));
        self.code.put(&[0xb8 | EDX]);
        self.code.put32(port);
        match self.rng.below(6) {
            0 | 1 => self.opcode(width, &[0xec | width.bit()]),
            2 | 3 => self.opcode(width, &[0xee | width.bit()]),
            4 => {
                let number = self.rng.byte();
                self.opcode(width, &[0xe4 | width.bit(), number]);
            }
            _ => {
                let operation = self.rng.pick(&[0x6c, 0x6e]);
                let count = self.rng.below(4);
                self.code.put(&[0xb8 | ECX]);
                self.code.put32(count);
                self.code.put(&[0xf3]);
                self.opcode(width, &[operation | width.bit()]);
            }
        }
    }

    fn exchange(&mut self) {
        let width = self.width();
        let reg = self.register_of(width);
        let lock = self.rng.percent(30);
        let opcode: &[u8] = match self.rng.below(4) {
            0 => &[0x86 | width.bit()],
            1 => &[0x0f, 0xc0 | width.bit()],
            2 => &[0x0f, 0xb0 | width.bit()],
            _ => {
                if lock {
                    self.code.put(&[0xf0]);
                }
                return self.with_memory(W::B4, &[0x0f, 0xc7], 1); // cmpxchg8b
            }
        };
        let opcode = opcode.to_vec();
        if lock {
            self.code.put(&[0xf0]);
            self.with_memory(width, &opcode, reg);
        } else {
            self.with_operand(width, &opcode, reg);
        }
    }

    fn point(&mut self) {
        let register = self.rng.pick(&[EBX, EBP, ESI, EDI]);
        self.point_register(register);
    }

    /// mov register, pointer
    fn point_register(&mut self, register: u8) {
        let value = self.pointer(register);
        self.code.put(&[0xb8 | register]);
        self.code.put32(value);
    }

    /// A short branch over one small instruction.
    fn skip(&mut self) {
        let branch = match self.rng.below(8) {
            0 => self.rng.within(0xe0, 0xe4) as u8,
            _ => 0x70 | self.rng.below(16) as u8,
        };
        let register = self.register();
        match self.rng.below(2) {
            0 => self.code.put(&[branch, 1, 0x40 | register]),
            _ => {
                self.code.put(&[branch, 5, 0xb8 | register]);
                self.immediate(W::B4);
            }
        }
    }

    /// Something that raises an exception, or may.
    fn fault(&mut self) {
        match self.rng.below(8) {
            0 => self.code.put(&[0x0f, 0x0b]),
            1 => self.code.put(&[0xcc]),
            2 => self.code.put(&[0xce]),
            3 => self.code.put(&[0xcd, INT_RETURN]),
            4 => self.code.put(&[0xcd, 0x40]),
            5 => {
                let register = self.register();
                self.with_memory(W::B4, &[0x62], register); // bound
            }
            6 => self.code.put(&[0xf1]),
            _ => self.code.put(&[0xd9, 0xe8]), // fld1
        }
    }

    fn segment(&mut self) {
        const SELECTORS: [u16; 11] = [
            selector::KERNEL_DATA,
            selector::USER_DATA,
            selector::SMALL_DATA,
            selector::PAGE_DATA,
            selector::DOWN_DATA,
            selector::READ_DATA,
            selector::ABSENT_DATA,
            selector::SMALL_USER_CODE,
            selector::KERNEL_CODE,
            0,
            0x7b,
        ];
        let wide = self.wide();
        match self.rng.below(6) {
            0 | 1 => {
                let own = self.variant.selectors();
                let chosen =
                    if self.rng.percent(40) { self.rng.pick(&own) } else { self.rng.pick(&SELECTORS) };
                let seg = self.rng.pick(&[0u8, 3, 4, 5, 4, 5]);
                self.code.put(&[0xb8 | EAX]);
                self.code.put32(u32::from(chosen));
                self.code.put(&[0x8e, 0xc0 | seg << 3]); // mov seg, ax
                if matches!(seg, 0 | 3) && self.rng.percent(70) {
                    let back = u32::from(own[usize::from(seg)]);
                    self.code.put(&[0xb8 | EAX]);
                    self.code.put32(back);
                    self.code.put(&[0x8e, 0xc0 | seg << 3]);
                }
            }
            2 => {
                let seg = self.rng.below(6) as u8;
                self.with_operand(wide, &[0x8c], seg); // mov r/m, seg
            }
            3 => {
                let push = self.rng.pick(&[0x06, 0x0e, 0x16, 0x1e]);
                let register = self.register();
                self.opcode(wide, &[push]);
                self.opcode(wide, &[0x58 | register]);
            }
            4 => {
                let opcode = self.rng.pick(&[0x02, 0x03]);
                let chosen = self.rng.pick(&SELECTORS);
                self.code.put(&[0xb8 | ECX]);
                self.code.put32(u32::from(chosen));
                self.code.put(&[0x0f, opcode, 0xc0 | EAX << 3 | ECX]); // lar or lsl eax, ecx
            }
            _ => {
                let operation = self.rng.within(4, 6) as u8;
                self.with_operand(W::B2, &[0x0f, 0x00], operation); // verr, verw
            }
        }
    }

    fn system(&mut self) {
        if self.variant.ring3 || self.rng.percent(25) {
            return self.any_ring_system();
        }
        if self.variant.paging && self.rng.percent(80) {
            return self.edit_page_table();
        }
        match self.rng.below(5) {
            0 => self.code.put(&[0x0f, 0x20, 0xc0]), // mov eax, cr0
            1 => self.code.put(&[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]), // mov eax, cr3; mov cr3, eax
            2 => self.code.put(&[0x0f, 0x06]),       // clts
            3 => self.with_memory(W::B4, &[0x0f, 0x01], 7), // invlpg
            _ => self.code.put(&[0x0f, 0x21, 0xf0]), // mov eax, dr6
        }
    }

    fn any_ring_system(&mut self) {
        match self.rng.below(6) {
            0 => self.code.put(&[0x0f, 0xa2]),               // cpuid
            1 => self.code.put(&[0x0f, 0x31]),               // rdtsc
            2 => self.with_memory(W::B4, &[0x0f, 0x01], 0),  // sgdt
            3 => self.with_operand(W::B4, &[0x0f, 0x00], 1), // str
            4 => self.with_operand(W::B4, &[0x0f, 0x01], 4), // smsw
            _ => {
                let reg = self.register();
                self.with_operand(W::B2, &[0x63], reg); // arpl
            }
        }
    }

    /// Changes the mapping of one of the special pages, through the large page.
    fn edit_page_table(&mut self) {
        const FRAMES: [u32; 4] = [at::DATA, at::DATA + 0x1000, at::READ_ONLY, at::ABSENT];
        let page = self.rng.pick(&[at::READ_ONLY, at::SUPERVISOR, at::ABSENT, at::DATA_ALIAS]);
        let completes = page == at::ABSENT && self.rng.percent(40);
        let frame = self.rng.pick(&FRAMES);
        // Accessed and dirty, so that a second such store changes nothing.
        let rights = if completes { 0x67 } else { self.rng.pick(&[0x67, 0x07, 0x05, 0x03, 0x00]) };
        let frame = if completes { at::ABSENT } else { frame };
        let field = at::LARGE_ALIAS + at::TABLE + 4 * (page >> 12);
        self.code.put(&[0x36, 0xc7, 0x05]); // mov dword [ss:field], entry
        self.code.put32(field);
        self.code.put32(frame | rights);
        if completes {
            return;
        }
        if self.rng.percent(70) {
            self.code.put(&[0x36, 0x0f, 0x01, 0x3d]); // invlpg [ss:page]
            self.code.put32(page);
        } else {
            self.code.put(&[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]); // mov eax, cr3; mov cr3, eax
        }
    }

    /// A store into the program's own code, if the variant has such.
    fn modify(&mut self) {
        if !self.variant.self_modify {
            return self.alu();
        }
        let label = self.code.label();
        let data_base = self.variant.base(SegReg::Ds);
        if self.rng.percent(60) {
            self.patches.push((label, Patch::Immediate));
            self.code.put(&[0xc7, 0x05]); // mov dword [label], imm
            self.code.put_absolute(label, data_base);
            self.immediate(W::B4);
        } else {
            let register = self.register();
            let dec = self.rng.below(2) as u8 * 8;
            self.patches.push((label, Patch::Opcode));
            self.code.put(&[0xc6, 0x05]); // mov byte [label], inc or dec register
            self.code.put_absolute(label, data_base);
            self.code.put(&[0x40 | dec | register]);
        }
        if self.rng.percent(30) {
            self.code.put(&[0xeb, 0x00]); // jmp to next
        }
    }

    /// What fits nowhere else: NOPs, prefixes that mean nothing, bytes at random.
    fn oddity(&mut self) {
        match self.rng.below(9) {
            0 => self.code.put(&[0x90]),
            1 => self.with_memory(W::B4, &[0x0f, 0x1f], 0),
            2 => self.code.put(&[0xf3, 0x90]),
            3 => self.code.put(&[0xf0, 0x01, 0xc8]), // lock add eax, ecx: #UD
            4 => {
                self.code.put(&[0x2e]);
                self.alu();
            }
            5 => self.far(),
            6 => {
                let bytes = self.rng.next_u64().to_le_bytes();
                let len = self.rng.within(1, 6) as usize;
                self.code.put(&bytes[..len]);
            }
            7 => self.code.put(&[0xf4]), // hlt: waits for an interrupt, or ends the program
            _ => self.code.put(&[0x9b]), // wait
        }
    }

    /// A far call to the next instruction, whose frame is taken off again, or a far jump to it.
    fn far(&mut self) {
        let label = self.code.label();
        let selector = self.variant.selectors()[SegReg::Cs.index()];
        let call = self.rng.percent(50);
        self.code.put(&[if call { 0x9a } else { 0xea }]);
        self.code.put_absolute(label, self.base);
        self.code.put(&selector.to_le_bytes());
        self.code.bind(label);
        if call {
            self.code.put(&[0x83, 0xc4, 0x08]); // add esp, 8
        }
    }
}
