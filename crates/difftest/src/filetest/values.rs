//! Values of registers, flags and memory in a test, and their text.

use std::collections::BTreeMap;
use std::fmt;

use cpu::eflags;

/// Names of the general-purpose registers in encoding order.
pub const GPRS: [&str; 8] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
/// Names of the segment registers in encoding order.
pub const SEGS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];
/// Flags in the order in which they are written.
pub const FLAGS: [(&str, u32); 9] = [
    ("cf", eflags::CF),
    ("pf", eflags::PF),
    ("af", eflags::AF),
    ("zf", eflags::ZF),
    ("sf", eflags::SF),
    ("of", eflags::OF),
    ("df", eflags::DF),
    ("if", eflags::IF),
    ("tf", eflags::TF),
];

/// Value of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Clear.
    Clear,
    /// Set.
    Set,
    /// Left undefined by the manual.
    Undefined,
}

/// One `in` or `out` with its `mem` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// General-purpose registers by number.
    pub gpr: BTreeMap<usize, u32>,
    /// Selectors by number of the segment register.
    pub selectors: BTreeMap<usize, u16>,
    /// EIP after a branch.
    pub eip: Option<u32>,
    /// Flags by their bit in EFLAGS.
    pub flags: BTreeMap<u32, Flag>,
    /// Bytes by address.
    pub memory: Vec<(u32, Vec<u8>)>,
    /// The exception raised, such as `gp(0)`.
    pub exception: Option<String>,
}

impl Values {
    /// Takes over `name=value`; what is wrong with it, if something is.
    pub(super) fn assign(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = |digits: usize| {
            let number = u32::from_str_radix(value, 16).ok().filter(|_| value.len() == digits);
            number.ok_or_else(|| format!("{name} takes {digits} hexadecimal digits, not \"{value}\""))
        };
        if let Some(gpr) = GPRS.iter().position(|known| *known == name) {
            self.gpr.insert(gpr, number(8)?);
        } else if let Some(seg) = SEGS.iter().position(|known| *known == name) {
            self.selectors.insert(seg, number(4)? as u16);
        } else if let Some((_, bit)) = FLAGS.iter().find(|(known, _)| *known == name) {
            let flag = match value {
                "0" => Flag::Clear,
                "1" => Flag::Set,
                "u" => Flag::Undefined,
                _ => return Err(format!("{name} is 0, 1 or u, not \"{value}\"")),
            };
            self.flags.insert(*bit, flag);
        } else if name == "eip" {
            self.eip = Some(number(8)?);
        } else if name == "exception" {
            self.exception = Some(value.to_owned());
        } else {
            return Err(format!("\"{name}\" is no register and no flag"));
        }
        Ok(())
    }

    /// `eflags` with the flags of these values.
    #[must_use]
    pub fn apply_flags(&self, eflags: u32) -> u32 {
        self.flags.iter().fold(eflags, |eflags, (bit, flag)| match flag {
            Flag::Clear | Flag::Undefined => eflags & !bit,
            Flag::Set => eflags | bit,
        })
    }

    /// The flags that are undefined.
    #[must_use]
    pub fn undefined_flags(&self) -> u32 {
        self.flags.iter().filter(|(_, flag)| **flag == Flag::Undefined).fold(0, |mask, (bit, _)| mask | bit)
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.gpr.iter().map(|(number, value)| format!("{}={value:08x}", GPRS[*number])));
        parts.extend(self.selectors.iter().map(|(number, value)| format!("{}={value:04x}", SEGS[*number])));
        parts.extend(self.eip.map(|eip| format!("eip={eip:08x}")));
        for (name, bit) in FLAGS {
            let value = match self.flags.get(&bit) {
                None => continue,
                Some(Flag::Clear) => "0",
                Some(Flag::Set) => "1",
                Some(Flag::Undefined) => "u",
            };
            parts.push(format!("{name}={value}"));
        }
        parts.extend(self.exception.iter().map(|exception| format!("exception={exception}")));
        f.write_str(&parts.join(" "))
    }
}
