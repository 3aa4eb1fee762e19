//! The instruction tests of `tests/filetests`, and that they can fail.

use std::path::Path;

use marquetry_difftest::filetest::{Runner, parse, run_dir};

fn runner() -> Runner {
    Runner::new().expect("the host gives memory")
}

#[test]
fn all_filetests_hold() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests");
    let report = run_dir(&dir, &mut runner()).expect("the folder is readable");
    for (path, failure) in &report.failures {
        println!("{}: {failure}", path.display());
    }
    assert!(report.failures.is_empty(), "{} failures", report.failures.len());
    assert!(report.files >= 40 && report.cases >= 300, "{report:?}");
    assert!(report.counted >= 30, "host instructions are counted for {} instructions", report.counted);
}

/// Each change of a right test must be noticed.
#[test]
fn wrong_expectations_fail() {
    let right =
        "11 d8 \"adc eax, ebx\"\n in ebx=00402400 cf=1\n mem 00402400 = 01\n out eax=00402401 cf=0 pf=0";
    let mut runner = runner();
    let mut failures = |text: &str| {
        let tests = parse(text).expect("the text has the form of a test");
        runner.run(&tests).into_iter().map(|failure| failure.message).collect::<Vec<_>>()
    };
    assert_eq!(failures(right), [""; 0]);
    for (from, to, message) in [
        ("adc eax", "adc ecx", "the bytes are \"adc eax, ebx\", not \"adc ecx, ebx\""),
        ("11 d8", "11 d8 90", "the bytes are not exactly one instruction"),
        ("eax=00402401", "eax=00402402", "eax is 00402401, not 00402402"),
        (" eax=00402401", "", "eax is 00402401, not 00000000"),
        ("cf=0 ", "", "cf is 00000000, not 00000001"),
        ("pf=0", "pf=1", "pf is 00000000, not 00000001"),
        ("pf=0", "pf=0 eip=00400104", "eip is 00400102, not 00400104"),
        ("pf=0", "pf=0 exception=of", "exception is None, not Some(\"of\")"),
        ("pf=0", "pf=0\n mem 00402400 = 02", "memory that changed is [], not [(402400, [2])]"),
    ] {
        assert_eq!(failures(&right.replace(from, to)), [message], "{from} as {to}");
    }
    let counted = failures(&format!(";! host_insns = 1\n{right}"));
    assert!(matches!(&counted[..], [only] if only.ends_with("host instructions, not 1")), "{counted:?}");
}

#[test]
fn a_fault_leaves_the_state_and_names_its_code() {
    let text = "f7 f3 \"div ebx\"\n in eax=00000001 cf=1\n out exception=de\n\n8e d8 \"mov ds, eax\"\n in eax=00000028\n \
                out exception=gp(28)";
    assert_eq!(runner().run(&parse(text).expect("right form")), []);
}
