//! From an address to the place where an access ends up: the way through IOMMUs, without the access.

use std::ops::Deref;
use std::sync::Arc;

use crate::iommu::{FAULT_LEN, MAX_CHAIN, ask};
use crate::{Access, AddressSpace, FlatView, Iommu, MemAttrs, Target, TxError};

/// The view in which a walk ended.
pub(crate) enum ViewRef<'a> {
    /// The one that was asked.
    Asked(&'a FlatView),
    /// That of the space which the last IOMMU leads to.
    Target(AddressSpace, Arc<FlatView>),
}

impl Deref for ViewRef<'_> {
    type Target = FlatView;

    fn deref(&self) -> &FlatView {
        match self {
            ViewRef::Asked(view) => view,
            ViewRef::Target(_, view) => view,
        }
    }
}

/// An IOMMU on the way.
#[derive(Clone)]
pub(crate) struct Passed {
    pub iommu: Arc<dyn Iommu>,
    /// The set of mappings used.
    pub index: u32,
    /// The address that was translated.
    pub iova: u64,
    /// The bits of it that passed unchanged.
    pub mask: u64,
    /// The space that it leads to, and the generation of its view.
    pub target: AddressSpace,
    pub generation: u64,
}

/// Where an access ends up.
pub(crate) struct Place<'a> {
    pub view: ViewRef<'a>,
    pub at: u64,
    /// Bytes from there on that every entry on the way covers, less 1.
    pub rest: u64,
    /// The address bits that pass every IOMMU unchanged.
    pub mask: u64,
    /// What every entry permits.
    pub read: bool,
    pub write: bool,
    pub passed: Vec<Passed>,
}

/// Why an access ends on the way.
pub(crate) struct Blocked {
    pub error: TxError,
    /// Bytes from there on that end in the same way, less 1.
    pub rest: u64,
}

/// Follows the IOMMUs from `addr` on. `None` for `access` asks for what is permitted.
pub(crate) fn walk(
    view: &FlatView,
    addr: u64,
    access: Option<Access>,
    attrs: MemAttrs,
) -> Result<Place<'_>, Blocked> {
    let mut place = Place {
        view: ViewRef::Asked(view),
        at: addr,
        rest: u64::MAX - addr,
        mask: u64::MAX,
        read: true,
        write: true,
        passed: Vec::new(),
    };
    while let Some((iommu, iova, left)) = translator(&place.view, place.at, access) {
        let page = FAULT_LEN - 1;
        if place.passed.len() >= usize::from(MAX_CHAIN) {
            return Err(Blocked {
                error: TxError::TranslationLoop,
                rest: place.rest.min(page - (place.at & page)),
            });
        }
        let (mask, entry) = ask(&*iommu, iova, access, attrs, false);
        let rest = place.rest.min(left).min((iova | mask) - iova);
        let entry = entry.map_err(|fault| Blocked { error: TxError::Fault(fault), rest })?;
        let index = iommu.index_of(attrs);
        let at = entry.translated & !mask | iova & mask;
        // The generation before the view: it may be the older of the two, never the newer.
        let generation = entry.target.generation();
        let view = entry.target.view();
        place.passed.push(Passed { iommu, index, iova, mask, target: entry.target.clone(), generation });
        place = Place {
            view: ViewRef::Target(entry.target, view),
            at,
            rest,
            mask: place.mask & mask,
            read: place.read && entry.read,
            write: place.write && entry.write,
            passed: place.passed,
        };
    }
    Ok(place)
}

/// The IOMMU at an address, the offset in its region, and how many more addresses it answers.
fn translator(view: &FlatView, at: u64, access: Option<Access>) -> Option<(Arc<dyn Iommu>, u64, u64)> {
    let range = view.lookup(at)?;
    let Target::Translate(target) = range.target(access == Some(Access::Write)) else { return None };
    let inside = at - range.range.first();
    Some((Arc::clone(target.iommu()), target.offset + inside, range.range.last() - at))
}

/// Where an access to an address goes, for those who remember it.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The space that the last IOMMU leads to; the one that was asked when there is none on the way.
    pub target: AddressSpace,
    /// The address there.
    pub addr: u64,
    /// The address bits that pass unchanged: those that are in the mask of every entry on the way.
    pub mask: u64,
    /// Every entry permits reads.
    pub read: bool,
    /// Every entry permits writes.
    pub write: bool,
}

impl AddressSpace {
    /// Follows the IOMMUs on the way of an access to `addr`. `None` for `access` asks for what is permitted, and is
    /// refused only where nothing is.
    ///
    /// # Errors
    /// A fault of an IOMMU, which is not reported to its model; a translation loop.
    pub fn translate(
        &self,
        addr: u64,
        access: Option<Access>,
        attrs: MemAttrs,
    ) -> Result<Translation, TxError> {
        let view = self.view();
        let place = walk(&view, addr, access, attrs).map_err(|blocked| blocked.error)?;
        Ok(self.translation(&place))
    }

    /// What a walk from this space came to.
    pub(crate) fn translation(&self, place: &Place<'_>) -> Translation {
        let target = match &place.view {
            ViewRef::Asked(_) => self.clone(),
            ViewRef::Target(space, _) => space.clone(),
        };
        Translation { target, addr: place.at, mask: place.mask, read: place.read, write: place.write }
    }
}
