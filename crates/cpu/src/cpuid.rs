//! CPUID (SDM Vol. 2A "CPUID"): a family 6 processor without a floating-point unit.

use crate::Cpu;

/// Family 6, model 3, stepping 3; also what EDX holds after reset.
pub(crate) const SIGNATURE: u32 = 0x0633;

/// Highest basic leaf.
const LAST_BASIC: u32 = 1;
/// Highest extended leaf.
const LAST_EXTENDED: u32 = 0x8000_0004;

/// Brand string; zeros follow up to 48 bytes.
const BRAND: &[u8] = b"marquetry";

/// The features that exist: bit of EDX in leaf 1, and where each is built.
const FEATURES: [(u32, &str); 6] = [
    (2, "DE: CR4.DE; DR4 and DR5 give #UD (control.rs)"),
    (3, "PSE: 4 MiB pages (mmu/paging.rs)"),
    (4, "TSC: RDTSC, CR4.TSD (msr.rs)"),
    (5, "MSR: RDMSR, WRMSR (msr.rs)"),
    (8, "CX8: CMPXCHG8B"),
    (15, "CMOV: CMOVcc"),
];

/// EDX of leaf 1.
fn features() -> u32 {
    FEATURES.iter().fold(0, |set, (bit, _)| set | 1 << bit)
}

impl Cpu {
    /// EAX, EBX, ECX and EDX for a leaf. A leaf past the last one answers as the last basic leaf; no leaf has
    /// subleaves.
    #[must_use]
    pub fn cpuid(&self, leaf: u32, _subleaf: u32) -> [u32; 4] {
        match leaf {
            0 => [LAST_BASIC, word(b"Genu"), word(b"ntel"), word(b"ineI")],
            0x8000_0000 => [LAST_EXTENDED, 0, 0, 0],
            0x8000_0001 => [0; 4],
            0x8000_0002..=LAST_EXTENDED => {
                let start = (leaf - 0x8000_0002) as usize * 16;
                let byte = |at: usize| BRAND.get(at).copied().unwrap_or(0);
                std::array::from_fn(|n| word(&std::array::from_fn(|at| byte(start + n * 4 + at))))
            }
            _ => [SIGNATURE, 0, 0, features()],
        }
    }
}

const fn word(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}
