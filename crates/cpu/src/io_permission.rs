//! Port accesses with the I/O privilege checks (SDM Vol. 1 18.5).

use base::{AccessSize, IoPort};

use crate::descriptor::SYSTEM_32;
use crate::segmentation::linear;
use crate::{Activity, Cpu, Exception};

/// Offset of the I/O map base in a 32-bit TSS (SDM Vol. 3A figure 7-2).
const IO_MAP_BASE: u32 = 0x66;

impl Cpu {
    /// IN: reads a port.
    ///
    /// # Errors
    /// As [`Cpu::check_port`].
    pub fn port_in(&mut self, port: u16, size: AccessSize) -> Result<u32, Exception> {
        self.check_port(port, size)?;
        self.publish_time();
        let value = self.activity.during(Activity::Bus, || self.mmu.port_read(IoPort(port), size));
        self.after_callback();
        Ok(value)
    }

    /// OUT: writes a port.
    ///
    /// # Errors
    /// As [`Cpu::check_port`].
    pub fn port_out(&mut self, port: u16, size: AccessSize, value: u32) -> Result<(), Exception> {
        self.check_port(port, size)?;
        self.publish_time();
        self.activity.during(Activity::Bus, || self.mmu.port_write(IoPort(port), size, value));
        self.after_callback();
        Ok(())
    }

    /// Checks that the program may access `size` bytes of ports from `port` on: CPL up to IOPL, or all their
    /// bits clear in the I/O permission bitmap of a 32-bit TSS.
    ///
    /// # Errors
    /// #GP(0), #PF on the TSS.
    pub fn check_port(&mut self, port: u16, size: AccessSize) -> Result<(), Exception> {
        if !self.protected_mode() || self.state.cpl <= self.iopl() || self.bitmap_allows(port, size)? {
            Ok(())
        } else {
            Err(Exception::Gp(0))
        }
    }

    /// Two bytes of the bitmap are read always, so that both must lie inside the TSS.
    fn bitmap_allows(&mut self, port: u16, size: AccessSize) -> Result<bool, Exception> {
        let tr = self.state.tr;
        if tr.attrs & SYSTEM_32 == 0 || IO_MAP_BASE + 1 > tr.limit {
            return Ok(false);
        }
        let map = self.load_linear(linear(&tr, IO_MAP_BASE), AccessSize::B2, false)? as u32;
        let offset = map + u32::from(port / 8);
        if offset + 1 > tr.limit {
            return Ok(false);
        }
        let bits = self.load_linear(linear(&tr, offset), AccessSize::B2, false)?;
        let wanted = (1 << size.bytes()) - 1;
        Ok(bits >> (port % 8) & wanted == 0)
    }
}
