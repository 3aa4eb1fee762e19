//! Model-specific registers and the time-stamp counter (SDM Vol. 3B 17.17, Vol. 4 chapter 2).
//!
//! Modelled: IA32_TIME_STAMP_COUNTER, at one tick for each nanosecond of guest time. Any other register
//! gives #GP(0); there is no local APIC, so no IA32_APIC_BASE either.

use crate::{Cpu, Exception, cr};

/// IA32_TIME_STAMP_COUNTER.
const TIME_STAMP_COUNTER: u32 = 0x10;

/// The model-specific registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Msrs {
    /// Added to guest time (wrapping) to give the time-stamp counter.
    pub tsc_offset: u64,
}

impl Cpu {
    /// RDMSR (SDM Vol. 2B "RDMSR").
    ///
    /// # Errors
    /// #GP(0) outside ring 0 and for an unknown register.
    pub fn rdmsr(&self, index: u32) -> Result<u64, Exception> {
        self.check_privileged()?;
        match index {
            TIME_STAMP_COUNTER => Ok(self.time_stamp()),
            _ => Err(Exception::Gp(0)),
        }
    }

    /// WRMSR (SDM Vol. 2C "WRMSR").
    ///
    /// # Errors
    /// #GP(0) outside ring 0 and for an unknown register.
    pub fn wrmsr(&mut self, index: u32, value: u64) -> Result<(), Exception> {
        self.check_privileged()?;
        match index {
            TIME_STAMP_COUNTER => {
                self.msrs.tsc_offset = value.wrapping_sub(self.now_ns());
                Ok(())
            }
            _ => Err(Exception::Gp(0)),
        }
    }

    /// RDTSC (SDM Vol. 2B "RDTSC").
    ///
    /// # Errors
    /// #GP(0) outside ring 0 while CR4.TSD is set.
    pub fn rdtsc(&self) -> Result<u64, Exception> {
        if self.state.cr4 & cr::CR4_TSD != 0 {
            self.check_privileged()?;
        }
        Ok(self.time_stamp())
    }

    fn time_stamp(&self) -> u64 {
        self.now_ns().wrapping_add(self.msrs.tsc_offset)
    }
}
