//! The bounds that the project sets itself, and what of a report misses them.

use serde::Serialize;

use super::ratio::{Ratio, geomean};
use super::{Case, Row};
use crate::guests::Class;

/// Least executions of a function of `cold` that must pay for its translation.
const COLD_PAYS: u32 = 100;
/// Means over the compute guests: paging, least against QEMU, most against native.
const MEANS: [(bool, f64, f64); 2] = [(false, 3.0, 2.0), (true, 2.5, 2.8)];

/// What the lower end of a row's `vs_qemu` must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// This or more.
    AtLeast(f64),
    /// More than this.
    Above(f64),
}

impl Bound {
    /// The bound of a case, if QEMU can run it: cold code may cost one and a half times QEMU's time as long as
    /// it pays for itself later; everything else must be as fast, but for noise.
    #[must_use]
    pub(super) fn of(case: &Case) -> Option<Self> {
        match case.executions {
            _ if case.guest.ours => None,
            Some(k) if k >= COLD_PAYS => Some(Self::Above(1.0)),
            Some(_) => Some(Self::AtLeast(0.667)),
            None => Some(Self::AtLeast(0.95)),
        }
    }

    fn is_met(self, low: f64) -> bool {
        match self {
            Self::AtLeast(least) => low >= least,
            Self::Above(least) => low > least,
        }
    }

    /// What a row that misses the bound misses.
    fn missed(self, ratio: Ratio) -> Option<String> {
        let low = ratio.low;
        (!self.is_met(low)).then(|| match self {
            Self::AtLeast(least) => format!("vs_qemu.low {low:.3} is below {least}"),
            Self::Above(least) => format!("vs_qemu.low {low:.3} is not above {least}"),
        })
    }
}

/// What was asked for, so that what is absent can be told from what nobody wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// QEMU was to be measured.
    pub qemu: bool,
    /// Native builds were to be measured.
    pub native: bool,
    /// No guest was left out.
    pub all: bool,
}

/// Geometric means over the compute guests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mean {
    /// With paging.
    pub paging: bool,
    /// QEMU's time over ours.
    pub vs_qemu: Option<f64>,
    /// Our time over native's.
    pub vs_native: Option<f64>,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// One row for each case.
    pub rows: Vec<Row>,
    /// Means: paging off, paging on.
    pub means: Vec<Mean>,
    /// Bounds that are not met.
    pub missed: Vec<String>,
    /// Bounds without a figure.
    pub absent: Vec<String>,
}

impl Report {
    /// Compares the rows with the bounds.
    #[must_use]
    pub fn judge(rows: Vec<Row>, asked: Asked) -> Self {
        let means = MEANS.iter().map(|(paging, ..)| mean(&rows, *paging)).collect();
        let mut report = Self { rows: Vec::new(), means, missed: Vec::new(), absent: Vec::new() };
        for row in &rows {
            report.judge_row(row, asked);
        }
        // A mean over some of the guests says nothing about the bound over all.
        if asked.all {
            report.judge_means();
        }
        report.rows = rows;
        report
    }

    fn judge_row(&mut self, row: &Row, asked: Asked) {
        let name = row.name();
        match (row.bound, row.vs_qemu) {
            (Some(bound), Some(ratio)) => {
                self.missed.extend(bound.missed(ratio).map(|what| format!("{name}: {what}")));
            }
            (Some(_), None) if asked.qemu => self.absent.push(format!("{name}: no figure against QEMU")),
            (Some(_) | None, _) => {}
        }
        if asked.native && row.class == Class::Compute && row.vs_native.is_none() {
            self.absent.push(format!("{name}: no figure against native"));
        }
    }

    fn judge_means(&mut self) {
        for (mean, (paging, qemu, native)) in self.means.iter().zip(MEANS) {
            let label = if paging { "with paging" } else { "paging off" };
            if mean.vs_qemu.is_some_and(|mean| mean < qemu) {
                self.missed.push(format!("compute guests, {label}: mean against QEMU is below {qemu}"));
            }
            if mean.vs_native.is_some_and(|mean| mean > native) {
                self.missed.push(format!("compute guests, {label}: mean against native is above {native}"));
            }
        }
    }

    /// Exit status: 2 for a bound without a figure, 1 for one that is missed.
    #[must_use]
    pub fn status(&self) -> i32 {
        if self.absent.is_empty() { i32::from(!self.missed.is_empty()) } else { 2 }
    }
}

fn mean(rows: &[Row], paging: bool) -> Mean {
    let compute = || rows.iter().filter(move |row| row.class == Class::Compute && row.paging == paging);
    Mean {
        paging,
        vs_qemu: geomean(compute().filter_map(|row| row.vs_qemu).map(|ratio| ratio.ratio)),
        vs_native: geomean(compute().filter_map(|row| row.vs_native).map(|ratio| ratio.ratio)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests;

    const ALL: Asked = Asked { qemu: true, native: false, all: true };

    fn case(name: &str, executions: Option<u32>) -> Case {
        let guest = guests::find(name).unwrap();
        Case { guest, paging: false, executions, image: "image".into(), native: None }
    }

    /// A row of this guest whose lower end is `low`; its median is twice that.
    fn row(name: &str, executions: Option<u32>, low: Option<f64>) -> Row {
        let vs_qemu = low.map(|low| Ratio { ratio: 2.0 * low, low, high: 3.0 * low });
        Row { vs_qemu, ..Row::of(&case(name, executions)) }
    }

    /// Status, missed and absent of a report of one row.
    fn judged(row: Row, asked: Asked) -> (i32, Vec<String>, Vec<String>) {
        let report = Report::judge(vec![row], asked);
        (report.status(), report.missed, report.absent)
    }

    fn met() -> (i32, Vec<String>, Vec<String>) {
        (0, Vec::new(), Vec::new())
    }

    fn missed(what: &str) -> (i32, Vec<String>, Vec<String>) {
        (1, vec![what.to_owned()], Vec::new())
    }

    #[test]
    fn cold_code_may_cost_half_as_much_again_until_it_pays() {
        for k in [1, 10] {
            assert_eq!(judged(row("cold", Some(k), Some(0.667)), ALL), met());
            let what = format!("cold k={k}: vs_qemu.low 0.666 is below 0.667");
            assert_eq!(judged(row("cold", Some(k), Some(0.666)), ALL), missed(&what));
        }
        for k in [100, 1000] {
            assert_eq!(judged(row("cold", Some(k), Some(1.001)), ALL), met());
            let what = format!("cold k={k}: vs_qemu.low 1.000 is not above 1");
            assert_eq!(judged(row("cold", Some(k), Some(1.0)), ALL), missed(&what));
        }
    }

    #[test]
    fn system_and_string_guests_must_be_as_fast() {
        for name in [
            "mmio_storm",
            "port_storm",
            "pam_toggle",
            "pt_churn",
            "smc",
            "smc_own",
            "smc_next",
            "smc_cross",
            "smc_alias",
            "timer_storm",
            "rep_movs",
            "rep_stos",
            "repne_scas",
            "repe_cmps",
        ] {
            assert_eq!(judged(row(name, None, Some(0.95)), ALL), met(), "{name}");
            let what = format!("{name}: vs_qemu.low 0.949 is below 0.95");
            assert_eq!(judged(row(name, None, Some(0.949)), ALL), missed(&what), "{name}");
        }
    }

    #[test]
    fn only_timer_storm_is_timed_by_processor_time() {
        let waiting: Vec<&str> =
            guests::ALL.iter().filter(|guest| guest.waits).map(|guest| guest.name).collect();
        assert_eq!(waiting, ["timer_storm"]);
    }

    #[test]
    fn a_bound_without_a_figure_is_worse_than_a_missed_one() {
        let absent = (2, Vec::new(), vec!["smc: no figure against QEMU".to_owned()]);
        assert_eq!(judged(row("smc", None, None), ALL), absent);
        let report = Report::judge(vec![row("smc", None, None), row("ring3", None, Some(0.1))], ALL);
        assert_eq!((report.status(), report.missed.len(), report.absent.len()), (2, 1, 1));
    }

    #[test]
    fn what_was_not_asked_for_is_not_absent() {
        assert_eq!(judged(row("smc", None, None), Asked { qemu: false, ..ALL }), met());
        // QEMU has no such device.
        assert_eq!(judged(row("bank_churn", None, None), ALL), met());
        let compute = || row("sieve", None, Some(4.0));
        assert_eq!(judged(compute(), ALL), met());
        let (status, _, absent) = judged(compute(), Asked { native: true, ..ALL });
        assert_eq!((status, absent), (2, vec!["sieve: no figure against native".to_owned()]));
        assert_eq!(judged(row("smc", None, Some(1.0)), Asked { native: true, ..ALL }), met());
    }

    #[test]
    fn means_are_over_all_compute_guests() {
        let rows = || vec![row("sieve", None, Some(1.0)), row("crc32", None, Some(1.1))];
        let means = |asked| Report::judge(rows(), asked);
        let mean = means(ALL).means[0].vs_qemu.unwrap();
        assert!((mean - (2.0f64 * 2.2).sqrt()).abs() < 1e-12, "{mean}");
        assert_eq!(means(ALL).missed, ["compute guests, paging off: mean against QEMU is below 3"]);
        assert_eq!(means(Asked { all: false, ..ALL }).missed, [""; 0]);
    }
}
