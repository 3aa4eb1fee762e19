//! The address newtypes. Each prints as hexadecimal and carries only the arithmetic that cannot lose bits.

use core::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:#x})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:x}", self.0)
            }
        }

        impl $name {
            /// The address `delta` bytes further on, modulo the width of the address.
            #[must_use]
            pub const fn wrapping_add(self, delta: $inner) -> Self {
                Self(self.0.wrapping_add(delta))
            }

            /// The address `delta` bytes further on, or `None` past the end of the space.
            #[must_use]
            pub const fn checked_add(self, delta: $inner) -> Option<Self> {
                match self.0.checked_add(delta) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }
        }
    };
}

address! {
    /// An offset inside a segment, before segmentation (SDM Vol. 3A 3.4). 32 bits until 64-bit mode arrives.
    LogicalAddr(u32)
}
address! {
    /// An address after segmentation, before paging (SDM Vol. 3A 3.4). 32 bits until 64-bit mode arrives.
    LinearAddr(u32)
}
address! {
    /// An address after paging: what the flat view of an address space is asked for.
    PhysAddr(u64)
}
address! {
    /// An offset inside one memory region.
    RegionOffset(u64)
}
address! {
    /// A port of the I/O space.
    IoPort(u16)
}

impl LinearAddr {
    /// Number of the guest page that holds this address.
    #[must_use]
    pub const fn page(self) -> u32 {
        self.0 >> crate::PAGE_SHIFT
    }

    /// Offset inside the guest page.
    #[must_use]
    pub const fn page_offset(self) -> u32 {
        self.0 & crate::PAGE_MASK as u32
    }
}

impl PhysAddr {
    /// Number of the guest page that holds this address.
    #[must_use]
    pub const fn page(self) -> u64 {
        self.0 >> crate::PAGE_SHIFT
    }

    /// Offset inside the guest page.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.0 & crate::PAGE_MASK
    }
}
