//! Dispatch: the one function that cuts an access and carries it out.
//!
//! Processor, port instructions, bus masters, debugger: all come here, with the row of memory-api.md 13.3 by which
//! their accesses are cut. `run` goes through the flat ranges, `Step` handles what one range answers, `Call`
//! (`call.rs`) what one dispatch to a device becomes: pieces of the width that the device implements, byte order.
//! Most accesses need none of that: they are one load or store of host memory, or one call (`FlatView::whole`).
//! Values cross to devices as numbers; between them and the guest stand the bytes in memory order, so that cutting
//! and byte order cannot disagree.

use std::sync::Arc;

use base::{AccessSize, AddrRange, RegionOffset};

use crate::access::aligned_piece;
use crate::call::{Call, bus_error};
use crate::device::identity;
use crate::extras::Extras;
use crate::iommu::{MAX_CHAIN, ask};
use crate::view::{CallTarget, HostSlice, TranslateTarget};
use crate::write_queue::QueuedWrite;
use crate::{
    Access, AccessCx, Cutting, DenyReason, Endian, FlatRange, FlatView, RejectReason, Row, Target, TxError,
    TxOutcome,
};

/// The bytes of an access, in memory order.
pub(crate) enum Data<'a> {
    Read(&'a mut [u8]),
    Write(&'a [u8]),
}

impl Data<'_> {
    pub fn len(&self) -> u64 {
        match self {
            Data::Read(bytes) => bytes.len() as u64,
            Data::Write(bytes) => bytes.len() as u64,
        }
    }

    pub fn is_write(&self) -> bool {
        matches!(self, Data::Write(_))
    }

    /// `len` bytes from `from` on, which all exist.
    pub fn part(&mut self, from: u64, len: u64) -> Data<'_> {
        let part = from as usize..(from + len) as usize;
        match self {
            Data::Read(bytes) => Data::Read(&mut bytes[part]),
            Data::Write(bytes) => Data::Write(&bytes[part]),
        }
    }

    /// What a failed read gives.
    pub fn fail(&mut self, fill: u8) {
        match self {
            Data::Read(bytes) => bytes.fill(fill),
            Data::Write(_) => {}
        }
    }
}

impl FlatView {
    /// Reads a value of `size` bytes, little-endian; what fails reads as the space's policy says.
    #[must_use]
    pub fn dispatch_read(
        &self,
        addr: u64,
        size: AccessSize,
        row: Row,
        cx: &mut AccessCx,
    ) -> (u64, TxOutcome) {
        let done = match self.whole(addr, size, false, cx) {
            Whole::Host(slice, at) => slice.block.load(at, size).map(Ok),
            Whole::Call(target, at) => Some(target.read_whole(at, size, cx)),
            Whole::Other => None,
        };
        match done {
            Some(Ok(value)) => return (value, TxOutcome::all(size.bytes())),
            Some(Err(error)) => return self.refused(addr, size, error, false),
            None => {}
        }
        let mut bytes = [0; 8];
        let outcome = self.read_bytes(addr, &mut bytes[..size.bytes() as usize], row, cx);
        (u64::from_le_bytes(bytes), outcome)
    }

    /// Writes the low `size` bytes of `value`, little-endian.
    pub fn dispatch_write(
        &self,
        addr: u64,
        size: AccessSize,
        value: u64,
        row: Row,
        cx: &mut AccessCx,
    ) -> TxOutcome {
        let done = match self.whole(addr, size, true, cx) {
            Whole::Host(slice, at) => slice.block.store(at, size, value).then_some(Ok(())),
            Whole::Call(target, at) => Some(target.write_whole(at, size, value, cx)),
            Whole::Other => None,
        };
        match done {
            Some(Ok(())) => return TxOutcome::all(size.bytes()),
            Some(Err(error)) => return self.refused(addr, size, error, true).1,
            None => {}
        }
        self.write_bytes(addr, &value.to_le_bytes()[..size.bytes() as usize], row, cx)
    }

    /// What the whole of an access goes to in one piece, where that is plain to see.
    #[inline]
    fn whole(&self, addr: u64, size: AccessSize, write: bool, cx: &AccessCx) -> Whole<'_> {
        let (Some(range), false) = (self.lookup(addr), !cx.is_plain()) else { return Whole::Other };
        let inside = addr - range.range.first();
        match range.target(write) {
            Target::Host(slice) if range.range.last() - addr >= size.bytes() - 1 => {
                Whole::Host(slice, slice.offset + inside)
            }
            Target::Call(target)
                if self.extras.is_none() && target.takes_whole(addr, target.offset + inside, size) =>
            {
                Whole::Call(target, target.offset + inside)
            }
            Target::Host(_)
            | Target::Call(_)
            | Target::Translate(_)
            | Target::Discard
            | Target::Unassigned => Whole::Other,
        }
    }

    /// A device has refused the whole of an access.
    #[cold]
    fn refused(&self, addr: u64, size: AccessSize, error: TxError, write: bool) -> (u64, TxOutcome) {
        let outcome = self.refuse(addr, size.bytes(), error, write);
        (u64::from_le_bytes([self.fill_of(addr, error); 8]) & size.mask(), outcome)
    }

    /// The outcome of an access that is refused as a whole.
    #[cold]
    pub(crate) fn refuse(&self, addr: u64, len: u64, error: TxError, write: bool) -> TxOutcome {
        let mut outcome = TxOutcome::default();
        self.report(addr, len, Some(error), write);
        outcome.failed(addr, error);
        outcome
    }

    /// Reads bytes; what fails reads as the space's policy says.
    pub fn read_bytes(&self, addr: u64, bytes: &mut [u8], row: Row, cx: &mut AccessCx) -> TxOutcome {
        if let Some(size) = self.width_as_qemu72(bytes.len(), row) {
            let (value, outcome) = self.load_as_qemu72(addr, size, cx);
            bytes.copy_from_slice(&value.to_le_bytes()[..size.bytes() as usize]);
            return outcome;
        }
        run(&self.step(addr, row), &mut Data::Read(bytes), cx)
    }

    /// Writes bytes.
    pub fn write_bytes(&self, addr: u64, bytes: &[u8], row: Row, cx: &mut AccessCx) -> TxOutcome {
        if let Some(size) = self.width_as_qemu72(bytes.len(), row) {
            return self.store_as_qemu72(addr, size, Endian::Little.value(bytes), cx);
        }
        run(&self.step(addr, row), &mut Data::Write(bytes), cx)
    }

    fn step(&self, at: u64, row: Row) -> Step<'_> {
        let row = match (row, self.info.config.cutting) {
            (Row::Port, Cutting::Pieces) => Row::ByteCopy,
            (Row::Port, Cutting::Qemu72) => Row::Typed,
            (Row::Cpu | Row::ByteCopy | Row::Typed, _) => row,
        };
        Step { view: self, at, row, chain: 0 }
    }

    /// Writes bytes into the memory behind whatever reads show, and returns the addresses that have none.
    pub(crate) fn load(&self, addr: u64, bytes: &[u8]) -> Vec<AddrRange> {
        let mut skipped = Vec::new();
        let mut done = 0;
        while let (Some(at), Some(rest)) =
            (addr.checked_add(done as u64), bytes.get(done..).filter(|r| !r.is_empty()))
        {
            let (len, loaded) = self.load_step(at, rest);
            if !loaded && let Some(range) = AddrRange::new(at, at.saturating_add(len - 1)) {
                skipped.push(range);
            }
            done += len as usize;
        }
        skipped
    }

    /// Loads the first bytes of `bytes`: how many were decided on, and whether there was memory for them.
    fn load_step(&self, at: u64, bytes: &[u8]) -> (u64, bool) {
        let Some(range) = self.lookup(at) else { return (self.hole(at, bytes.len() as u64), false) };
        let len = room(range.range.last(), at, bytes.len() as u64);
        let Some(reader) = &range.reader else { return (len, false) };
        let offset = reader.offset.wrapping_add(at - range.range.first());
        let block = reader.leaf.ram();
        (len, block.is_some_and(|block| block.write(offset, &bytes[..len as usize])))
    }

    /// How many of `want` bytes at `at`, where nothing is mapped, come before the next range.
    pub(crate) fn hole(&self, at: u64, want: u64) -> u64 {
        let next = self.ranges_from(at).next().map(|range| range.range.first());
        next.map_or(want, |next| want.min(next - at))
    }
}

/// What the whole of an access goes to.
enum Whole<'a> {
    /// Host memory, and the offset in its block.
    Host(&'a HostSlice, u64),
    /// One call, and the offset in its region.
    Call(&'a CallTarget, u64),
    /// It is not in one piece, or goes elsewhere.
    Other,
}

impl CallTarget {
    /// Whether an access is one call of its own width, by the rules that [`Step::call`] and [`Call`] follow.
    #[inline]
    fn takes_whole(&self, addr: u64, offset: u64, size: AccessSize) -> bool {
        let len = size.bytes();
        u64::from(self.callback().whole_widths) & len != 0
            && (addr | offset) & (len - 1) == 0
            && self.last - offset >= len - 1
    }

    #[inline]
    fn read_whole(&self, offset: u64, size: AccessSize, cx: &mut AccessCx) -> Result<u64, TxError> {
        let call = self.callback();
        cx.enter(identity(&call.handler)).map_err(TxError::Denied)?;
        self.leaf.count(false);
        let value = call.handler.read(RegionOffset(call.base.wrapping_add(offset)), size, cx);
        cx.leave();
        value.map(|value| value & size.mask()).map_err(bus_error)
    }

    #[inline]
    fn write_whole(
        &self,
        offset: u64,
        size: AccessSize,
        value: u64,
        cx: &mut AccessCx,
    ) -> Result<(), TxError> {
        let call = self.callback();
        cx.enter(identity(&call.handler)).map_err(TxError::Denied)?;
        self.leaf.count(true);
        let offset = RegionOffset(call.base.wrapping_add(offset));
        let outcome = call.handler.write(offset, value & size.mask(), size, cx);
        cx.leave();
        outcome.map_err(bus_error)
    }
}

/// How many of `want` bytes at `at` lie up to `last`.
pub(crate) fn room(last: u64, at: u64, want: u64) -> u64 {
    want.min((last - at).saturating_add(1))
}

/// Cuts an access by its row and carries out the pieces, all of them even after a failure.
fn run(first: &Step<'_>, data: &mut Data<'_>, cx: &mut AccessCx) -> TxOutcome {
    let mut outcome = TxOutcome::default();
    let len = data.len();
    let mut done = 0;
    while done < len {
        let Some(at) = first.at.checked_add(done) else {
            let rest = &mut data.part(done, len - done);
            first.fail_at(first.at.wrapping_add(done), rest, TxError::PastEnd, &mut outcome);
            break;
        };
        let left = room(u64::MAX, at, len - done);
        let want = match first.row {
            Row::Cpu => aligned_piece(at, left).bytes(),
            Row::ByteCopy | Row::Port | Row::Typed => left,
        };
        done += Step { at, ..*first }.run(&mut data.part(done, want), cx, &mut outcome);
        if cx.stops_after(&outcome) {
            data.part(done, len - done).fail(first.view.info.fill());
            break;
        }
    }
    outcome
}

/// What one flat range, or a hole, does with the first bytes of an access.
#[derive(Clone, Copy)]
struct Step<'a> {
    view: &'a FlatView,
    at: u64,
    row: Row,
    /// IOMMUs passed so far.
    chain: u8,
}

impl Step<'_> {
    /// Carries out at least one byte of `data` and returns how many.
    fn run(&self, data: &mut Data<'_>, cx: &mut AccessCx, outcome: &mut TxOutcome) -> u64 {
        let want = data.len();
        let Some(range) = self.view.lookup(self.at) else {
            let here = self.view.background(self.at, self.view.hole(self.at, want));
            let len = self.whole_if_typed(here, want);
            let unaligned = self.row == Row::Typed && self.view.is_unaligned_port(self.at, len);
            let rejected = TxError::Rejected(RejectReason::Unaligned);
            return self.fail(data, len, if unaligned { rejected } else { TxError::Unassigned }, outcome);
        };
        let here = room(range.range.last(), self.at, want);
        let inside = self.at - range.range.first();
        if cx.attrs().memory_only && !is_memory(range, data.is_write()) {
            return self.fail(data, here, TxError::Denied(DenyReason::MemoryOnly), outcome);
        }
        if cx.attrs().debug
            && let Some(slice) = debugged(range, data.is_write())
        {
            return self.copy(&slice, inside, &mut data.part(0, here), outcome);
        }
        match range.target(data.is_write()) {
            Target::Host(_) | Target::Discard if self.row == Row::Typed && here < want => {
                self.fail(data, want, TxError::Rejected(RejectReason::PastEnd), outcome)
            }
            Target::Host(slice) => self.copy(slice, inside, &mut data.part(0, here), outcome),
            Target::Discard => {
                self.view.report(self.at, here, None, data.is_write());
                outcome.succeeded(here);
                here
            }
            Target::Unassigned => {
                let error = match range.binding(data.is_write()) {
                    Some(_) => TxError::Rejected(RejectReason::Reserved),
                    None => TxError::Unassigned,
                };
                self.fail(data, self.whole_if_typed(here, want), error, outcome)
            }
            Target::Call(call) => match cx.denies_callbacks() {
                Some(reason) => self.fail(data, here, TxError::Denied(reason), outcome),
                None => self.call(range, call, data, cx, outcome),
            },
            Target::Translate(target) => self.translate(target, inside, &mut data.part(0, here), cx, outcome),
        }
    }

    fn whole_if_typed(&self, here: u64, want: u64) -> u64 {
        if self.row == Row::Typed { want } else { here }
    }

    fn copy(&self, slice: &HostSlice, inside: u64, data: &mut Data<'_>, outcome: &mut TxOutcome) -> u64 {
        let (offset, len) = (slice.offset + inside, data.len());
        let copied = match data {
            Data::Read(bytes) => slice.block.read(offset, bytes),
            Data::Write(bytes) => slice.block.write(offset, bytes),
        };
        debug_assert!(copied, "a flat range shows bytes of its block only");
        outcome.succeeded(len);
        len
    }

    /// One dispatch to a device. A device is asked beyond the end of the flat range, but not of its region.
    fn call(
        &self,
        range: &FlatRange,
        target: &CallTarget,
        data: &mut Data<'_>,
        cx: &mut AccessCx,
        outcome: &mut TxOutcome,
    ) -> u64 {
        let call = target.callback();
        let offset = target.offset + (self.at - range.range.first());
        let last = target.last;
        let qemu72 = self.view.info.config.cutting == Cutting::Qemu72;
        let room = if qemu72 { u128::MAX } else { u128::from(last - offset) + 1 };
        let want = data.len();
        let fitting = u64::try_from(room).unwrap_or(u64::MAX).min(want);
        let size = match self.row {
            Row::Typed if u128::from(want) > room => {
                return self.fail(data, want, TxError::Rejected(RejectReason::PastEnd), outcome);
            }
            Row::Typed | Row::Cpu => AccessSize::widest_within(fitting).unwrap_or(AccessSize::B1),
            Row::ByteCopy | Row::Port => call.rules.copy_width(offset, want, room),
        };
        let len = size.bytes();
        let mut part = data.part(0, len);
        if let Err(reason) = call.rules.check(offset, size, part.is_write()) {
            return self.fail(&mut part, len, TxError::Rejected(reason), outcome);
        }
        if let Some(extras) = &self.view.extras
            && self.beside(extras, &CallTarget { offset, ..target.clone() }, &part, cx)
        {
            outcome.succeeded(len);
            return len;
        }
        let call = Call { leaf: &target.leaf, call, offset, last, fill: self.view.info.fill(), qemu72 };
        let result = call.dispatch(&mut part, cx);
        if let Some((_, error)) = result.first_error {
            self.view.report(self.at, len, Some(error), part.is_write());
        }
        outcome.append(&result, self.at);
        len
    }

    /// What an access to a device, at the offset in `target`, does besides or instead of calling it: whether it is
    /// done with.
    fn beside(&self, extras: &Extras, target: &CallTarget, data: &Data<'_>, cx: &AccessCx) -> bool {
        let info = &self.view.info;
        let flush = || {
            if extras.flushes(self.at) {
                info.queue.flush(cx.depth() == 0);
            }
        };
        let Data::Write(bytes) = data else {
            flush();
            return false;
        };
        let size = AccessSize::from_bytes(data.len()).unwrap_or(AccessSize::B1);
        if let Some(event) = extras.event(self.at, target.leaf.id(), size, Endian::Little.value(bytes)) {
            flush();
            event.signal();
            return true;
        }
        let queued = info.queue.is_on() && cx.is_plain() && cx.depth() == 0;
        if !queued || !extras.coalesces(self.at, data.len()) {
            flush();
            return false;
        }
        let mut held = [0; 8];
        held[..bytes.len()].copy_from_slice(bytes);
        let (len, attrs) = (bytes.len(), cx.attrs());
        let (target, info) = (target.clone(), Arc::clone(info));
        self.view.info.queue.push(QueuedWrite { target, bytes: held, len, attrs, info });
        true
    }

    /// Passes the access on to where an IOMMU sends it.
    fn translate(
        &self,
        target: &TranslateTarget,
        inside: u64,
        data: &mut Data<'_>,
        cx: &mut AccessCx,
        outcome: &mut TxOutcome,
    ) -> u64 {
        let len = data.len();
        if self.chain >= MAX_CHAIN {
            return self.fail(data, len, TxError::TranslationLoop, outcome);
        }
        let iova = target.offset + inside;
        let access = if data.is_write() { Access::Write } else { Access::Read };
        let (mask, entry) = ask(&**target.iommu(), iova, Some(access), cx.attrs(), true);
        let len = room(iova | mask, iova, len);
        let entry = match entry {
            Ok(entry) => entry,
            Err(fault) => return self.fail(data, len, TxError::Fault(fault), outcome),
        };
        let at = entry.translated & !mask | iova & mask;
        let view = entry.target.view();
        let next = Step { view: &view, at, row: self.row, chain: self.chain + 1 };
        let passed = run(&next, &mut data.part(0, len), cx);
        outcome.append(&passed, self.at);
        len
    }

    /// Fails the first `len` bytes.
    #[cold]
    fn fail(&self, data: &mut Data<'_>, len: u64, error: TxError, outcome: &mut TxOutcome) -> u64 {
        self.fail_at(self.at, &mut data.part(0, len), error, outcome);
        len
    }

    fn fail_at(&self, at: u64, data: &mut Data<'_>, error: TxError, outcome: &mut TxOutcome) {
        data.fail(self.view.fill_of(at, error));
        self.view.report(at, data.len(), Some(error), data.is_write());
        outcome.failed(at, error);
    }
}

/// Whether an access restricted to plain memory may go to a range: memory, or an IOMMU that may lead to some.
pub(crate) fn is_memory(range: &FlatRange, write: bool) -> bool {
    let plain = range.binding(write).is_some_and(|binding| binding.leaf.is_memory());
    plain || matches!(range.target(write), Target::Translate(_))
}

/// The memory that a debugger writes to: what is behind the range's reads, if they have any memory behind them.
fn debugged(range: &FlatRange, write: bool) -> Option<HostSlice> {
    let reader = range.binding(false).filter(|_| write)?;
    Some(HostSlice { block: Arc::clone(reader.leaf.ram()?), offset: reader.offset })
}
