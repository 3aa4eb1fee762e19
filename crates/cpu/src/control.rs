//! Control registers, debug registers and EFLAGS as instructions write them (SDM Vol. 3A 2.3, 2.5, 17.2).

use isa::Width;

use crate::{Cpu, Exception, Trap, cr, eflags, flags, leave};

/// CR0 bits that hold what is written; ET reads 1, the rest 0.
const CR0_WRITABLE: u32 = cr::CR0_PE
    | cr::CR0_MP
    | cr::CR0_EM
    | cr::CR0_TS
    | cr::CR0_NE
    | cr::CR0_WP
    | cr::CR0_AM
    | cr::CR0_NW
    | cr::CR0_CD
    | cr::CR0_PG;
/// CR4 bits of the features that CPUID names; the rest is reserved.
const CR4_OFFERED: u32 = cr::CR4_TSD | cr::CR4_DE | cr::CR4_PSE;
/// DR6 bits that hold what is written: B0 to B3, BD, BS, BT.
const DR6_WRITABLE: u32 = 0xe00f;
/// DR6 bits that read 1.
const DR6_ONES: u32 = 0xffff_0ff0;
/// DR6.BD: a debug register was accessed while DR7.GD was set.
const DR6_BD: u32 = 1 << 13;
/// DR7 bits that hold what is written.
const DR7_WRITABLE: u32 = 0xffff_23ff;
/// DR7 bit that reads 1.
const DR7_ONES: u32 = 1 << 10;
/// DR7.GD: accesses to debug registers give #DB.
const DR7_GD: u32 = 1 << 13;

/// Flags that POPF and IRET write in every mode and ring.
const FLAGS_LOW: u32 = eflags::STATUS | eflags::TF | eflags::DF | eflags::NT;

impl Cpu {
    /// MOV from a control register.
    ///
    /// # Errors
    /// #UD for a register that does not exist, #GP(0) outside ring 0.
    pub fn read_cr(&self, number: u8) -> Result<u32, Trap> {
        let value = match number {
            0 => self.state.cr0,
            2 => self.state.cr2,
            3 => self.state.cr3,
            4 => self.state.cr4,
            _ => return Err(Exception::Ud.into()),
        };
        self.check_privileged()?;
        Ok(value)
    }

    /// MOV to a control register (SDM Vol. 2B "MOV—Move to/from Control Registers").
    ///
    /// # Errors
    /// #UD for a register that does not exist, #GP(0) outside ring 0 and for reserved bits and combinations;
    /// `Trap::Unsupported("real mode")` when PE would be cleared.
    pub fn write_cr(&mut self, number: u8, value: u32) -> Result<(), Trap> {
        if !matches!(number, 0 | 2 | 3 | 4) {
            return Err(Exception::Ud.into());
        }
        self.check_privileged()?;
        match number {
            0 => self.write_cr0(value)?,
            2 => self.state.cr2 = value,
            3 => {
                self.state.cr3 = value;
                self.paging_changed();
            }
            _ => self.write_cr4(value)?,
        }
        Ok(())
    }

    fn write_cr0(&mut self, value: u32) -> Result<(), Trap> {
        let invalid_paging = value & (cr::CR0_PG | cr::CR0_PE) == cr::CR0_PG;
        let invalid_caching = value & (cr::CR0_NW | cr::CR0_CD) == cr::CR0_NW;
        if invalid_paging || invalid_caching {
            return Err(Exception::Gp(0).into());
        }
        let new = value & CR0_WRITABLE | cr::CR0_ET;
        let changed = self.state.cr0 ^ new;
        if changed & cr::CR0_PE != 0 && new & cr::CR0_PE == 0 {
            return Err(Trap::Unsupported("real mode"));
        }
        self.state.cr0 = new;
        if changed & (cr::CR0_PE | cr::CR0_PG | cr::CR0_WP) != 0 {
            self.paging_changed();
        }
        self.state.leave |= leave::MODE;
        Ok(())
    }

    fn write_cr4(&mut self, value: u32) -> Result<(), Exception> {
        if value & !CR4_OFFERED != 0 {
            return Err(Exception::Gp(0));
        }
        let changed = self.state.cr4 ^ value;
        self.state.cr4 = value;
        if changed & cr::CR4_PSE != 0 {
            self.paging_changed();
        }
        self.state.leave |= leave::MODE;
        Ok(())
    }

    /// LMSW (SDM Vol. 2A "LMSW"): PE, MP, EM and TS; PE can be set but not cleared.
    ///
    /// # Errors
    /// #GP(0) outside ring 0.
    pub fn lmsw(&mut self, value: u16) -> Result<(), Trap> {
        self.check_privileged()?;
        let written = cr::CR0_MP | cr::CR0_EM | cr::CR0_TS;
        let low = u32::from(value) & (written | cr::CR0_PE);
        self.write_cr0(self.state.cr0 & !written | low)
    }

    /// SMSW: CR0, of which a 16-bit destination takes the low half; any ring.
    #[must_use]
    pub fn smsw(&self) -> u32 {
        self.state.cr0
    }

    /// CLTS.
    ///
    /// # Errors
    /// #GP(0) outside ring 0.
    pub fn clts(&mut self) -> Result<(), Trap> {
        self.check_privileged()?;
        self.state.cr0 &= !cr::CR0_TS;
        self.state.leave |= leave::MODE;
        Ok(())
    }

    /// MOV from a debug register.
    ///
    /// # Errors
    /// #UD for DR4 and DR5 while CR4.DE is set, #GP(0) outside ring 0, #DB while DR7.GD is set.
    pub fn read_dr(&mut self, number: u8) -> Result<u32, Trap> {
        let index = self.debug_register(number)?;
        Ok(self.state.dr[index])
    }

    /// MOV to a debug register. Breakpoints are kept and never hit.
    ///
    /// # Errors
    /// As [`Cpu::read_dr`].
    pub fn write_dr(&mut self, number: u8, value: u32) -> Result<(), Trap> {
        let index = self.debug_register(number)?;
        self.state.dr[index] = match index {
            6 => value & DR6_WRITABLE | DR6_ONES,
            7 => value & DR7_WRITABLE | DR7_ONES,
            _ => value,
        };
        Ok(())
    }

    /// The register behind a number: DR4 and DR5 are other names of DR6 and DR7 (SDM Vol. 3A 17.2.2).
    fn debug_register(&mut self, number: u8) -> Result<usize, Exception> {
        let index = match number {
            4 | 5 if self.state.cr4 & cr::CR4_DE != 0 => return Err(Exception::Ud),
            4 | 5 => number + 2,
            0..=3 | 6 | 7 => number,
            _ => return Err(Exception::Ud),
        };
        self.check_privileged()?;
        if self.state.dr[7] & DR7_GD != 0 {
            self.state.dr[6] |= DR6_BD;
            return Err(Exception::Db);
        }
        Ok(usize::from(index))
    }

    /// Writes EFLAGS as POPF and IRET do (SDM Vol. 2B "POPF", Vol. 2A "IRET"): IF in rings up to IOPL, IOPL in
    /// ring 0, AC and ID with the 32-bit form; RF is cleared. VM stays, and so do VIF and VIP, which belong to
    /// the virtual-8086 extensions that are not offered. IRET calls it with the privilege level of before.
    pub fn write_eflags_popf(&mut self, value: u32, op_size: Width) {
        let interrupts = if self.state.cpl <= self.iopl() { eflags::IF } else { 0 };
        let level = if self.state.cpl == 0 { eflags::IOPL } else { 0 };
        let wide = if op_size == Width::B2 { 0 } else { eflags::AC | eflags::ID };
        self.write_eflags(value, FLAGS_LOW | interrupts | level | wide);
    }

    /// EFLAGS.IOPL.
    #[must_use]
    pub fn iopl(&self) -> u8 {
        ((self.state.eflags & eflags::IOPL) >> 12) as u8
    }

    fn write_eflags(&mut self, value: u32, mask: u32) {
        flags::materialize(&mut self.state);
        let old = self.state.eflags;
        let new = old & !mask & !eflags::RF | value & mask | eflags::FIXED;
        self.state.eflags = new;
        if (old ^ new) & (eflags::IF | eflags::TF) != 0 {
            self.state.leave |= leave::MODE;
        }
    }
}
