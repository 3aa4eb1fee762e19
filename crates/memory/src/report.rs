//! Accesses that were refused: counted, remembered, and written to the log without letting a storm flood it.

use std::fmt;

use crate::{AddressSpace, FlatRange, FlatView, TxError, lock};

/// Lines of the log for each kind of failure before they get rarer.
const FIRST_LINES: u64 = 16;

/// A refused access, as the log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the space.
    pub space: String,
    /// Address in the space.
    pub addr: u64,
    /// Bytes refused.
    pub len: u64,
    /// Whether it was a write.
    pub write: bool,
    /// Why it was refused; `None` for a write that a ROM dropped.
    pub reason: Option<TxError>,
    /// The region that is there, if any is.
    pub region: Option<String>,
    /// The nearest range below that is mapped.
    pub before: Option<String>,
    /// The nearest range above that is mapped.
    pub after: Option<String>,
    /// How many of the kind there have been in the space, this one included.
    pub count: u64,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.write { "write" } else { "read" };
        write!(f, "{}: {direction} of {} at {:#x}", self.space, self.len, self.addr)?;
        match &self.region {
            Some(region) => write!(f, " in `{region}`")?,
            None => write!(f, ", where nothing is mapped")?,
        }
        match self.reason {
            Some(reason) => write!(f, ": {reason}")?,
            None => write!(f, ": dropped by ROM")?,
        }
        let shown = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "; below: {}; above: {}; count {}", shown(&self.before), shown(&self.after), self.count)
    }
}

/// Whether the failure with this number is written down.
const fn is_noted(count: u64) -> bool {
    count <= FIRST_LINES || count.is_power_of_two()
}

impl FlatView {
    /// Counts what failed, or a write dropped by ROM (`None`). The first failures of each kind get a line in the log,
    /// later ones each time their count doubles.
    #[cold]
    pub(crate) fn report(&self, addr: u64, len: u64, reason: Option<TxError>, write: bool) {
        let count = self.info.count(reason);
        if !is_noted(count) {
            return;
        }
        let name = |range: &FlatRange| format!("{:?} {}", range.range, range.name());
        let rejection = Rejection {
            space: self.info.name.to_string(),
            addr,
            len,
            write,
            reason,
            region: self.lookup(addr).map(|range| range.name().to_owned()),
            before: self.range_before(addr).map(name),
            after: self.ranges_from(addr).find(|range| range.range.first() > addr).map(name),
            count,
        };
        tracing::info!(target: "mem::mmio", "{rejection}");
        *lock(&self.info.last_rejection) = Some(rejection);
    }
}

impl AddressSpace {
    /// The refused access that was noted last: each of the first of its kind, later those whose count is a power of
    /// two. What the log shows.
    #[must_use]
    pub fn last_rejection(&self) -> Option<Rejection> {
        lock(&self.0.info.last_rejection).clone()
    }
}
