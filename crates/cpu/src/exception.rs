//! Exceptions of the processor and what else can end an instruction.

use base::LinearAddr;

/// A processor exception with its error code (SDM Vol. 3A 6.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the manual's mnemonics")]
pub enum Exception {
    De,
    Db,
    Bp,
    Of,
    Br,
    Ud,
    Nm,
    Df,
    Ts(u32),
    Np(u32),
    Ss(u32),
    Gp(u32),
    /// A page fault: the address for CR2 and the error code.
    Pf {
        la: LinearAddr,
        code: u32,
    },
    Mf,
    Ac(u32),
    Mc,
    Xm,
}

impl Exception {
    /// Vector (SDM Vol. 3A table 6-1).
    #[must_use]
    pub const fn vector(self) -> u8 {
        match self {
            Self::De => 0,
            Self::Db => 1,
            Self::Bp => 3,
            Self::Of => 4,
            Self::Br => 5,
            Self::Ud => 6,
            Self::Nm => 7,
            Self::Df => 8,
            Self::Ts(_) => 10,
            Self::Np(_) => 11,
            Self::Ss(_) => 12,
            Self::Gp(_) => 13,
            Self::Pf { .. } => 14,
            Self::Mf => 16,
            Self::Ac(_) => 17,
            Self::Mc => 18,
            Self::Xm => 19,
        }
    }

    /// The error code that is pushed, if the exception has one.
    #[must_use]
    pub const fn error_code(self) -> Option<u32> {
        match self {
            Self::Df => Some(0),
            Self::Ts(code) | Self::Np(code) | Self::Ss(code) | Self::Gp(code) | Self::Ac(code) => Some(code),
            Self::Pf { code, .. } => Some(code),
            Self::De
            | Self::Db
            | Self::Bp
            | Self::Of
            | Self::Br
            | Self::Ud
            | Self::Nm
            | Self::Mf
            | Self::Mc
            | Self::Xm => None,
        }
    }

    /// Whether a second exception of the contributory class makes a double fault (SDM Vol. 3A table 6-4).
    #[must_use]
    pub const fn is_contributory(self) -> bool {
        matches!(self, Self::De | Self::Ts(_) | Self::Np(_) | Self::Ss(_) | Self::Gp(_))
    }
}

/// What ends an instruction other than its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// The guest takes an exception.
    Exception(Exception),
    /// The guest asked for a part of the processor that is not built; the run stops with a clear error.
    Unsupported(&'static str),
    /// A triple fault.
    Shutdown,
}

impl From<Exception> for Trap {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}
