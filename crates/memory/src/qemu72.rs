//! How QEMU 7.2 cuts accesses, for spaces that are compared with it ([`Cutting::Qemu72`]).
//!
//! As measured on that version: an unaligned load of the processor becomes the two aligned loads that cover it, an
//! unaligned store single bytes; a port instruction is one access of its width. What passed a region's check reaches
//! the device as it is, past the end of the region too, and a narrow access is called at its own offset with the
//! device's least width. Where one page shows several ranges the processor's access is copied byte-wise, all of it or
//! none. What a region rejects reads 0, and so does what lies past the last port.
//! Not modelled: an access that crosses a page (the processor cuts it before it comes here), and what that version
//! does wrong with bus masters' writes through read-only aliases and long reads of ROM devices.

use base::{AccessSize, AddrRange, PAGE_MASK};

use crate::{Access, AccessCx, Cutting, FlatView, Row, SpaceKind, TxError, TxOutcome};

/// The last port that has a background.
const LAST_PORT: u64 = 0xffff;

impl FlatView {
    /// The width of an access of the processor that is cut as QEMU 7.2 does.
    #[inline]
    pub(crate) fn width_as_qemu72(&self, len: usize, row: Row) -> Option<AccessSize> {
        let follows = self.info.config.cutting == Cutting::Qemu72 && row == Row::Cpu;
        AccessSize::from_bytes(len as u64).filter(|_| follows)
    }

    /// A load of the processor.
    pub(crate) fn load_as_qemu72(&self, addr: u64, size: AccessSize, cx: &mut AccessCx) -> (u64, TxOutcome) {
        let start = addr & !(size.bytes() - 1);
        let (low, mut outcome) = self.aligned_load(start, size, cx);
        if start == addr {
            return (low, outcome);
        }
        let next = start.wrapping_add(size.bytes());
        let (high, second) = self.aligned_load(next, size, cx);
        let shift = 8 * (addr - start) as u32;
        let value = (low >> shift | high << (size.bits() - shift)) & size.mask();
        outcome = covering(addr, next, &outcome, &second, size);
        (value, outcome)
    }

    /// A store of the processor.
    pub(crate) fn store_as_qemu72(
        &self,
        addr: u64,
        size: AccessSize,
        value: u64,
        cx: &mut AccessCx,
    ) -> TxOutcome {
        let bytes = value.to_le_bytes();
        if addr.is_multiple_of(size.bytes()) {
            return self.aligned_store(addr, &bytes[..size.bytes() as usize], cx);
        }
        let mut outcome = TxOutcome::default();
        for (n, byte) in (0..size.bytes()).zip(bytes) {
            let at = addr.wrapping_add(n);
            outcome.append(&self.aligned_store(at, &[byte], cx), at);
        }
        outcome
    }

    fn aligned_load(&self, addr: u64, size: AccessSize, cx: &mut AccessCx) -> (u64, TxOutcome) {
        let mut bytes = [0; 8];
        let part = &mut bytes[..size.bytes() as usize];
        let outcome = match self.row_in_page(addr, size.bytes(), Access::Read, cx) {
            Ok(row) => self.read_bytes(addr, part, row, cx),
            Err(error) => self.refuse(addr, size.bytes(), error, false),
        };
        (u64::from_le_bytes(bytes), outcome)
    }

    fn aligned_store(&self, addr: u64, bytes: &[u8], cx: &mut AccessCx) -> TxOutcome {
        match self.row_in_page(addr, bytes.len() as u64, Access::Write, cx) {
            Ok(row) => self.write_bytes(addr, bytes, row, cx),
            Err(error) => self.refuse(addr, bytes.len() as u64, error, true),
        }
    }

    /// How an aligned access is cut: as it is where one range shows the whole page, byte-wise elsewhere, if every
    /// piece would be taken.
    fn row_in_page(&self, addr: u64, len: u64, access: Access, cx: &AccessCx) -> Result<Row, TxError> {
        let page = AddrRange::new(addr & !PAGE_MASK, addr | PAGE_MASK).expect("a page is not empty");
        let next = self.ranges_from(page.first()).next().map(|range| range.range);
        let whole = next.is_none_or(|range| range.contains_range(page) || !range.overlaps(page));
        if whole {
            return Ok(Row::Typed);
        }
        self.probe(addr, len, access, cx.attrs()).map_err(|(_, error)| error)?;
        Ok(Row::ByteCopy)
    }

    /// How many of `len` ports from `at` on, where nothing is mapped, have the same background.
    pub(crate) fn background(&self, at: u64, len: u64) -> u64 {
        if self.is_port_space() && at <= LAST_PORT { len.min(LAST_PORT - at + 1) } else { len }
    }

    /// Whether nothing is at a port and not even the background takes a typed access of this width.
    pub(crate) fn is_unaligned_port(&self, at: u64, len: u64) -> bool {
        self.is_port_space() && !at.is_multiple_of(len)
    }

    fn is_port_space(&self) -> bool {
        let config = self.info.config;
        config.cutting == Cutting::Qemu72 && config.kind == SpaceKind::Port
    }

    /// The byte that a failed read gives.
    pub(crate) fn fill_of(&self, at: u64, error: TxError) -> u8 {
        let zero = match error {
            TxError::Rejected(_) => true,
            TxError::Unassigned => self.info.config.kind == SpaceKind::Port && at > LAST_PORT,
            TxError::Device(_)
            | TxError::Denied(_)
            | TxError::Fault(_)
            | TxError::TranslationLoop
            | TxError::PastEnd => false,
        };
        if zero && self.info.config.cutting == Cutting::Qemu72 { 0 } else { self.info.fill() }
    }
}

/// The outcome of an access at `addr` made of two aligned ones, the second of which is at `next`.
fn covering(addr: u64, next: u64, low: &TxOutcome, high: &TxOutcome, size: AccessSize) -> TxOutcome {
    let mut outcome = TxOutcome::default();
    let here = next.wrapping_sub(addr);
    match low.error() {
        None => outcome.succeeded(here),
        Some(error) => outcome.failed(addr, error),
    }
    match high.error() {
        None => outcome.succeeded(size.bytes() - here),
        Some(error) => outcome.failed(next, error),
    }
    outcome
}
