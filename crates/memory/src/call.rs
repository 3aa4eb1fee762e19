//! One dispatch to a device: cut to what the device implements, in its byte order.
//!
//! What comes here has passed the checks of the region; `dispatch.rs` says what does.

use std::sync::Arc;

use base::{AccessSize, RegionOffset};

use crate::access::aligned_piece;
use crate::device::identity;
use crate::dispatch::Data;
use crate::region::Callback;
use crate::{AccessCx, BusError, DenyReason, Leaf, NarrowPolicy, RejectReason, TxError, TxOutcome};

/// One dispatch to a device: a width that its region takes, at an offset in it.
pub(crate) struct Call<'a> {
    pub leaf: &'a Arc<Leaf>,
    pub call: &'a Callback,
    pub offset: u64,
    /// Offset of the last byte of the region.
    pub last: u64,
    /// The byte that a failed read gives.
    pub fill: u8,
    /// The space follows QEMU 7.2: nothing is aligned, and narrow accesses go through as they are.
    pub qemu72: bool,
}

/// Up to eight bytes in memory order.
type Bytes = [u8; 8];

impl Call<'_> {
    /// Cuts the dispatch into pieces that the device implements and makes every one of them, unless the access stops
    /// at a failure. Without `impl_unaligned` the pieces are aligned.
    ///
    /// The addresses in the outcome count from the beginning of the dispatch.
    pub fn dispatch(&self, data: &mut Data<'_>, cx: &mut AccessCx) -> TxOutcome {
        let mut outcome = TxOutcome::default();
        if let Err(reason) = cx.enter(identity(&self.call.handler)) {
            data.fail(self.fill);
            outcome.failed(0, TxError::Denied(reason));
            return outcome;
        }
        let (rules, len) = (&self.call.rules, data.len());
        let widest = len.min(rules.implemented_max());
        let aligned = self.qemu72
            || rules.takes_unaligned() && widest >= rules.implemented_min()
            || self.offset.is_multiple_of(len);
        let mut done = 0;
        while done < len && !cx.stops_after(&outcome) {
            let width = if aligned {
                widest
            } else {
                aligned_piece(self.offset + done, len - done).bytes().min(widest)
            };
            let mut part = data.part(done, width);
            match self.piece(self.offset + done, &mut part, cx) {
                Ok(()) => outcome.succeeded(width),
                Err(error) => {
                    part.fail(self.fill);
                    outcome.failed(done, error);
                }
            }
            done += width;
        }
        data.part(done, len - done).fail(self.fill);
        cx.leave();
        outcome
    }

    /// One piece. Narrower than the device implements, it becomes a call of the device's least width.
    fn piece(&self, offset: u64, data: &mut Data<'_>, cx: &mut AccessCx) -> Result<(), TxError> {
        let (rules, len) = (&self.call.rules, data.len());
        let min = rules.implemented_min();
        if len >= min {
            return self.exchange(offset, (0, len), data, cx);
        }
        let policy = match self.qemu72 {
            true => NarrowPolicy::PassThrough,
            false => rules.narrow_policy(data.is_write()),
        };
        let at = match policy {
            NarrowPolicy::PassThrough => offset,
            NarrowPolicy::AlignAndExtract | NarrowPolicy::ReadModifyWrite => offset & !(min - 1),
            NarrowPolicy::Reject => return Err(TxError::Rejected(RejectReason::Narrow)),
        };
        if policy != NarrowPolicy::PassThrough && self.last - at < min - 1 {
            return Err(TxError::Rejected(RejectReason::Narrow));
        }
        let lane = (offset - at, min);
        match data {
            Data::Write(bytes) if policy == NarrowPolicy::ReadModifyWrite => {
                let mut unit = self.read(at, min, cx)?;
                unit[lane.0 as usize..][..bytes.len()].copy_from_slice(bytes);
                self.write(at, min, &unit, cx)
            }
            Data::Read(_) | Data::Write(_) => self.exchange(at, lane, data, cx),
        }
    }

    /// One call at `at` of `width` bytes, of which those from `lane` on are the access's, the rest 0 in a write.
    fn exchange(
        &self,
        at: u64,
        (lane, width): (u64, u64),
        data: &mut Data<'_>,
        cx: &mut AccessCx,
    ) -> Result<(), TxError> {
        match data {
            Data::Read(bytes) => {
                let unit = self.read(at, width, cx)?;
                bytes.copy_from_slice(&unit[lane as usize..][..bytes.len()]);
                Ok(())
            }
            Data::Write(bytes) => {
                let mut unit = Bytes::default();
                unit[lane as usize..][..bytes.len()].copy_from_slice(bytes);
                self.write(at, width, &unit, cx)
            }
        }
    }

    fn read(&self, at: u64, width: u64, cx: &mut AccessCx) -> Result<Bytes, TxError> {
        self.leaf.count(false);
        let size = AccessSize::widest_within(width).unwrap_or(AccessSize::B1);
        let value = self.call.handler.read(self.device_offset(at), size, cx).map_err(bus_error)?;
        let mut bytes = Bytes::default();
        self.call.rules.endian().put(value, &mut bytes[..width as usize]);
        Ok(bytes)
    }

    fn write(&self, at: u64, width: u64, bytes: &Bytes, cx: &mut AccessCx) -> Result<(), TxError> {
        self.leaf.count(true);
        let size = AccessSize::widest_within(width).unwrap_or(AccessSize::B1);
        let value = self.call.rules.endian().value(&bytes[..width as usize]);
        self.call.handler.write(self.device_offset(at), value, size, cx).map_err(bus_error)
    }

    fn device_offset(&self, at: u64) -> RegionOffset {
        RegionOffset(self.call.base.wrapping_add(at))
    }
}

pub(crate) fn bus_error(error: BusError) -> TxError {
    match error {
        BusError::Device(code) => TxError::Device(code),
        BusError::Rejected => TxError::Rejected(RejectReason::Device),
        BusError::Reentrant => TxError::Denied(DenyReason::Reentrant),
    }
}
