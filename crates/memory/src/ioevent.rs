//! I/O events: writes that signal somebody instead of calling the device.

use std::fmt;
use std::sync::Arc;

use base::AccessSize;

/// Signalled by writes, on the thread that makes them. It only records or wakes: it takes no lock of a device and makes
/// no access.
pub trait IoEventSink: Send + Sync {
    /// Signalled once for each write that matches.
    fn signal(&self);
}

/// A write that signals: where, how wide, and of which value.
///
/// A write that is wider or narrower than the event does not match and goes to the device.
#[derive(Clone)]
pub struct IoEvent {
    at: u64,
    /// `None` for any.
    width: Option<AccessSize>,
    /// `None` for any.
    data: Option<u64>,
    sink: Arc<dyn IoEventSink>,
}

/// What two events are equal by, in the order in which they are tried.
type Key = (u64, u64, bool, u64, usize);

impl IoEvent {
    /// Writes of any width and value at offset `at` of a region.
    #[must_use]
    pub fn any(at: u64, sink: Arc<dyn IoEventSink>) -> Self {
        Self { at, width: None, data: None, sink }
    }

    /// Writes of that width and any value at offset `at` of a region.
    #[must_use]
    pub fn sized(at: u64, width: AccessSize, sink: Arc<dyn IoEventSink>) -> Self {
        Self { at, width: Some(width), data: None, sink }
    }

    /// Only writes of this value, little-endian as the guest writes it. An event of any width has any value.
    #[must_use]
    pub fn matching(mut self, data: u64) -> Self {
        self.data = self.width.map(|width| data & width.mask());
        self
    }

    /// Offset in the region.
    #[must_use]
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// The width; `None` for any.
    #[must_use]
    pub const fn width(&self) -> Option<AccessSize> {
        self.width
    }

    /// The value; `None` for any.
    #[must_use]
    pub const fn data(&self) -> Option<u64> {
        self.data
    }

    /// Offset of the last byte that it watches.
    pub(crate) fn last(&self) -> u64 {
        self.at.saturating_add(self.width.map_or(0, |width| width.bytes() - 1))
    }

    pub(crate) fn signal(&self) {
        self.sink.signal();
    }

    pub(crate) fn matches(&self, size: AccessSize, value: u64) -> bool {
        self.width.is_none_or(|width| width == size) && self.data.is_none_or(|data| data == value)
    }

    pub(crate) fn key(&self) -> Key {
        let width = self.width.map_or(0, AccessSize::bytes);
        let sink = Arc::as_ptr(&self.sink).cast::<()>() as usize;
        (self.at, width, self.data.is_some(), self.data.unwrap_or(0), sink)
    }
}

impl PartialEq for IoEvent {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for IoEvent {}

impl fmt::Debug for IoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoEvent({:#x}", self.at)?;
        if let Some(width) = self.width {
            write!(f, " width {}", width.bytes())?;
        }
        if let Some(data) = self.data {
            write!(f, " data {data:#x}")?;
        }
        write!(f, ")")
    }
}
