//! The embedded guests, from `guests/`: the table says what `guests/guests.toml` says.

use serde::Serialize;

use crate::out;
use crate::outcome::Outcome;

/// What a guest exercises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Computation.
    Compute,
    /// String instructions.
    String,
    /// Devices, paging, memory map changes, self-modification.
    System,
}

impl Class {
    /// The word for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::String => "string",
            Self::System => "system",
        }
    }
}

/// One embedded guest.
#[derive(Debug)]
pub struct Guest {
    /// Name.
    pub name: &'static str,
    /// Class.
    pub class: Class,
    /// Work for a quick test.
    pub n: u64,
    /// Work for a benchmark.
    pub bench_n: u64,
    /// Whether it can also be run with paging.
    pub paging: bool,
    /// Whether it needs a device that only the board `bare` has.
    pub ours: bool,
    /// Whether it waits for timers, so that processor time counts.
    pub waits: bool,
    /// What it does.
    pub what: &'static str,
    /// The image.
    pub image: &'static [u8],
}

macro_rules! guest {
    ($name:literal, $class:ident, n: $n:literal, bench: $bench:literal, paging: $paging:literal, ours: $ours:literal,
     waits: $waits:literal, $what:literal) => {
        Guest {
            name: $name,
            class: Class::$class,
            n: $n,
            bench_n: $bench,
            paging: $paging,
            ours: $ours,
            waits: $waits,
            what: $what,
            image: include_bytes!(concat!("../../../guests/bin/", $name, ".elf")),
        }
    };
}

/// All of them, in the order of the manifest.
#[rustfmt::skip]
pub static ALL: &[Guest] = &[
    guest!("sieve", Compute, n: 2, bench: 1200, paging: true, ours: false, waits: false, "sieve of Eratosthenes over bytes"),
    guest!("crc32", Compute, n: 1, bench: 700, paging: true, ours: false, waits: false, "CRC-32 by table over 128 KiB"),
    guest!("sha256", Compute, n: 2, bench: 1400, paging: true, ours: false, waits: false, "SHA-256 of 16 KiB messages, chained"),
    guest!("quicksort", Compute, n: 2, bench: 900, paging: true, ours: false, waits: false, "recursive quicksort of 8,192 words"),
    guest!("matmul", Compute, n: 1, bench: 730, paging: true, ours: false, waits: false, "product of 64 x 64 word matrices"),
    guest!("fib", Compute, n: 2, bench: 740, paging: true, ours: false, waits: false, "recursive Fibonacci numbers"),
    guest!("drymix", Compute, n: 1, bench: 200, paging: true, ours: false, waits: false, "records, strings, procedures: a mix in the manner of Dhrystone"),
    guest!("coremix", Compute, n: 1, bench: 500, paging: true, ours: false, waits: false, "list, matrix, state machine, CRC-16: a mix in the manner of CoreMark"),
    guest!("bytecode", Compute, n: 2, bench: 1300, paging: true, ours: false, waits: false, "bytecode interpreter by switch and by computed goto"),
    guest!("vcalls", Compute, n: 1, bench: 270, paging: true, ours: false, waits: false, "calls through tables of function pointers"),
    guest!("chase", Compute, n: 1, bench: 80, paging: true, ours: false, waits: false, "dependent loads along a list spread over 32 MiB"),
    guest!("mpmul", Compute, n: 2, bench: 1200, paging: true, ours: false, waits: false, "multiplication of long numbers"),
    guest!("lz", Compute, n: 1, bench: 1000, paging: true, ours: false, waits: false, "compression and decompression round trip"),
    guest!("states", Compute, n: 1, bench: 800, paging: true, ours: false, waits: false, "tokenizer as a switch over state and character"),
    guest!("cold", System, n: 1, bench: 100, paging: true, ours: false, waits: false, "4,000 generated functions, each executed n times k times"),
    guest!("bcd", System, n: 4, bench: 1600, paging: true, ours: false, waits: false, "decimal adjustment, bit strings, rotates through carry, CMPXCHG8B, CMOVcc, other rare ones"),
    guest!("rep_movs", String, n: 2, bench: 1400, paging: true, ours: false, waits: false, "REP MOVS: lengths, alignments, directions, overlap"),
    guest!("rep_stos", String, n: 2, bench: 1350, paging: true, ours: false, waits: false, "REP STOS: lengths, alignments, directions"),
    guest!("repne_scas", String, n: 2, bench: 1900, paging: true, ours: false, waits: false, "REPNE and REPE SCAS: early, late and no hits"),
    guest!("repe_cmps", String, n: 2, bench: 370, paging: true, ours: false, waits: false, "REPE and REPNE CMPS: early, late and no differences"),
    guest!("smc", System, n: 2, bench: 150, paging: true, ours: false, waits: false, "an immediate is patched and the function called"),
    guest!("smc_own", System, n: 4, bench: 250, paging: true, ours: false, waits: false, "code changes the straight-line code that it is in"),
    guest!("smc_next", System, n: 4, bench: 300, paging: true, ours: false, waits: false, "code changes the blocks around it"),
    guest!("smc_cross", System, n: 2, bench: 530, paging: true, ours: false, waits: false, "stores to an instruction that crosses a page"),
    guest!("smc_alias", System, n: 2, bench: 155, paging: false, ours: false, waits: false, "self-modifying code through a second linear mapping"),
    guest!("pt_churn", System, n: 4, bench: 1900, paging: false, ours: false, waits: false, "pages are remapped, with INVLPG or CR3, and touched"),
    guest!("pt_shared", System, n: 4, bench: 900, paging: false, ours: false, waits: false, "two page tables share page L and differ at L + 1, code runs from L into L + 1"),
    guest!("ring3", System, n: 4, bench: 4500, paging: true, ours: false, waits: false, "ring 3 and back by IRET and INT 80"),
    guest!("faults", System, n: 1, bench: 1400, paging: false, ours: false, waits: false, "exceptions of all kinds and the state at each; verbose=1 prints it"),
    guest!("mmio_storm", System, n: 4, bench: 7000, paging: true, ours: false, waits: false, "I/O APIC registers at speed"),
    guest!("port_storm", System, n: 4, bench: 9000, paging: true, ours: false, waits: false, "ports 80, cf8, 21, a1 at speed"),
    guest!("timer_storm", System, n: 1, bench: 140, paging: true, ours: false, waits: true, "timer interrupts at 20 kHz while computing"),
    guest!("pam_toggle", System, n: 2, bench: 50, paging: true, ours: false, waits: false, "PAM switches at full speed around code that runs from f0000 and d0000"),
    guest!("mmio_access", System, n: 2, bench: 1500, paging: true, ours: true, waits: false, "widths and alignments on the test block"),
    guest!("bank_churn", System, n: 2, bench: 300, paging: true, ours: true, waits: false, "bank switches while executing from the bank"),
    guest!("flash_prog", System, n: 1, bench: 60, paging: true, ours: true, waits: false, "flash commands, and code in the flash"),
    guest!("iommu_dma", System, n: 2, bench: 800, paging: true, ours: true, waits: false, "copies by the bus master, IOMMU mappings and rights"),
];

/// The guest called `name`.
///
/// # Errors
/// A sentence for people.
pub fn find(name: &str) -> Result<&'static Guest, String> {
    ALL.iter()
        .find(|guest| guest.name == name)
        .ok_or_else(|| format!("no guest is called {name:?}; `marq guests` lists them"))
}

/// Prints the list.
#[must_use]
pub fn list() -> Outcome {
    for guest in ALL {
        let class = guest.class.name();
        out::line(&format!("{:<12} {class:<8} n={:<3} {}", guest.name, guest.n, guest.what));
    }
    Outcome::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_manifest() {
        let manifest = include_str!("../../../guests/guests.toml");
        let values = |key: &str| -> Vec<&str> {
            let lines = manifest.lines().filter_map(|line| line.strip_prefix(key));
            lines.map(|value| value.trim().trim_matches('"')).collect()
        };
        assert_eq!(values("name = "), ALL.iter().map(|guest| guest.name).collect::<Vec<_>>());
        assert_eq!(values("class = "), ALL.iter().map(|guest| guest.class.name()).collect::<Vec<_>>());
        assert!(ALL.len() >= 24);
    }
}
