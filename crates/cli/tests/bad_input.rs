//! What `marq` says to input that is wrong: one line that names the value and the fix, and the exit status of the
//! README's table. The whole of both outputs is compared, so that nothing else is printed and nobody panics.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Where the guests' code lies.
const LOAD: u32 = 0x10_0000;
/// Scratch register of the board's test block.
const TEST_BLOCK: u32 = 0xfe00_0000;
/// An address that nobody answers.
const NOWHERE: u32 = 0x8000_0000;
/// `jmp $`.
const LOOP: [u8; 2] = [0xeb, 0xfe];
/// Ways of running a guest.
const JITS: [&str; 3] = ["--jit=off", "--jit=sync", "--jit=background"];

/// An ELF32 image of one segment: `code` at [`LOAD`], which is also the entry, and zeros up to `memsz`.
fn elf(code: &[u8], memsz: u32) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // e_type EXEC, e_machine 386; e_version, e_entry, e_phoff, e_shoff, e_flags; sizes and counts of headers.
    file.extend([2u16, 3].map(u16::to_le_bytes).concat());
    file.extend([1, LOAD, 52, 0, 0].map(u32::to_le_bytes).concat());
    file.extend([52u16, 32, 1, 40, 0, 0].map(u16::to_le_bytes).concat());
    // PT_LOAD: p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_flags RWX, p_align.
    file.extend([1, 84, LOAD, LOAD, code.len() as u32, memsz, 7, 4].map(u32::to_le_bytes).concat());
    file.extend(code);
    file
}

/// `mov eax, address; jmp eax`.
fn jump_to(address: u32) -> Vec<u8> {
    [&[0xb8][..], &address.to_le_bytes(), &[0xff, 0xe0]].concat()
}

/// Writes `value` to the test block's scratch register and jumps there: `mov dword [block], value`.
fn jump_into_the_test_block(value: u32) -> Vec<u8> {
    let store = [&[0xc7, 0x05][..], &TEST_BLOCK.to_le_bytes(), &value.to_le_bytes()].concat();
    [store, jump_to(TEST_BLOCK)].concat()
}

/// A file of this name for one test alone.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).expect("the tests' own directory can be written");
    path
}

fn guest(name: &str, code: &[u8]) -> PathBuf {
    file(name, &elf(code, code.len() as u32))
}

fn marq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_marq"));
    command.args(args).stdin(Stdio::null());
    command
}

/// Status, standard output, standard error.
type Ending = (Option<i32>, String, String);

fn ending(output: &Output) -> Ending {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn run(args: &[&str]) -> Ending {
    ending(&marq(&[&["run"], args].concat()).output().expect("marq starts"))
}

/// How a run ends that says `message`, with its line's beginning, and nothing else.
fn only(status: i32, message: &str) -> Ending {
    (Some(status), String::new(), format!("marq: {message}\n"))
}

/// Runs a guest image and gives how it ended.
fn run_image(image: &Path, args: &[&str]) -> Ending {
    let path = image.to_string_lossy();
    run(&[&[&*path], args].concat())
}

/// The ending of an image that is refused: status 2, `PATH: message`.
fn refused(image: &Path, message: &str) -> Ending {
    only(2, &format!("{}: {message}", image.display()))
}

#[test]
fn a_file_that_is_no_image_is_named() {
    let missing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no such image.elf");
    assert_eq!(run_image(&missing, &[]), refused(&missing, "no such file; check the path"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    assert_eq!(run_image(directory, &[]), refused(directory, "is a directory; name the image inside it"));
    let empty = file("empty.elf", &[]);
    assert_eq!(run_image(&empty, &[]), refused(&empty, "is empty (0 bytes); build the image again"));
    let text = file("text.elf", b"#!/bin/sh\n");
    let message =
        "starts with [23, 21, 2f, 62] and has no multiboot header; it must be ELF32 for i386 or multiboot 1";
    assert_eq!(run_image(&text, &[]), refused(&text, message));
}

#[test]
fn an_image_for_another_processor_says_how_to_build_it() {
    let mut wide = elf(&LOOP, 2);
    wide[4] = 2;
    let wide = file("elf64.elf", &wide);
    let message = "is an ELF64 image; build it for 32 bits (gcc -m32, ld -m elf_i386)";
    assert_eq!(run_image(&wide, &[]), refused(&wide, message));
    let mut arm = elf(&LOOP, 2);
    arm[18] = 40;
    let arm = file("arm.elf", &arm);
    let message = "is for machine 40 (e_machine), not for 3, i386; build it with gcc -m32";
    assert_eq!(run_image(&arm, &[]), refused(&arm, message));
}

#[test]
fn a_truncated_image_says_what_is_missing() {
    let whole = elf(&[0x90; 64], 64);
    for (len, what, end) in [
        (10, "the ELF identification", "0x10"),
        (40, "the ELF header", "0x34"),
        (80, "the program header table", "0x54"),
        (100, "a segment", "0x94"),
    ] {
        let image = file(&format!("first-{len}.elf"), &whole[..len]);
        let message =
            format!("{len} bytes, but {what} ends at {end}; the file was cut off, copy or build it again");
        assert_eq!(run_image(&image, &[]), refused(&image, &message));
    }
    assert_eq!(whole.len(), 84 + 64, "the last of the four was cut inside its segment");
}

#[test]
fn an_image_larger_than_ram_says_how_much_it_needs() {
    let image = file("large.elf", &elf(&LOOP, 0x40_0000));
    let message = "needs RAM at 0000000000100000-00000000004fffff, but there is none at 0x200000: the guest has \
                   0x200000 bytes of RAM; give it at least 5 MiB (-m 5M)";
    assert_eq!(run_image(&image, &["-m", "2M"]), refused(&image, message));
    // And that is enough.
    assert_eq!(run_image(&image, &["-m", "5M", "--max-instructions=1"]).0, Some(8));
}

#[test]
fn ram_that_the_board_cannot_have_says_what_it_can() {
    let image = guest("small-ram.elf", &LOOP);
    let message = |bytes| {
        format!(
            "{bytes} bytes of RAM; the board takes whole pages of 0x1000 bytes, from 0x100000 to 0xe0000000 bytes \
             (-m 1M to 3584M)"
        )
    };
    assert_eq!(run_image(&image, &["-m", "512K"]), only(2, &message("0x80000")));
    assert_eq!(run_image(&image, &["-m", "4G"]), only(2, &message("0x100000000")));
    // The largest one runs; the smallest one ends below the image.
    assert_eq!(run_image(&image, &["-m", "3584M", "--max-instructions=1"]).0, Some(8));
    let (status, _, stderr) = run_image(&image, &["-m", "1M"]);
    assert!(status == Some(2) && stderr.contains("needs RAM at 0000000000100000"), "{stderr}");
}

/// The first line, and the last one, of what the argument parser says; the rest is its usage.
fn usage_error(args: &[&str]) -> (Option<i32>, String, String) {
    let (status, stdout, stderr) = ending(&marq(args).output().expect("marq starts"));
    assert_eq!(stdout, "");
    let line = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (status, line(stderr.lines().next()), line(stderr.lines().last()))
}

#[test]
fn wrong_options_are_named() {
    let help = "For more information, try '--help'.";
    for (args, message) in [
        (&["run", "--frobnicate"][..], "unexpected argument '--frobnicate' found"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["run", "--jit=maybe"], "invalid value 'maybe' for '--jit <JIT>'"),
        (
            &["run", "-m", "lots"],
            "invalid value 'lots' for '--memory <MEMORY>': \"lots\" is no size; write 64M, 512K or 1G",
        ),
        (&["run", "-m", "0"], "invalid value '0' for '--memory <MEMORY>': \"0\" is out of range"),
        (
            &["run", "--max-instructions=many"],
            "invalid value 'many' for '--max-instructions <N>': invalid digit found in string",
        ),
        (&["run", "a.elf", "--guest=sieve"], "the argument '[IMAGE]' cannot be used with '--guest <GUEST>'"),
    ] {
        assert_eq!(usage_error(args), (Some(2), format!("error: {message}"), help.to_owned()));
    }
}

#[test]
fn an_unknown_guest_is_named() {
    let message = "no guest is called \"sieb\"; `marq guests` lists them";
    assert_eq!(run(&["--guest", "sieb"]), only(2, message));
}

#[test]
fn a_triple_fault_says_where() {
    let image = guest("ud2.elf", &[0x90, 0x0f, 0x0b]);
    let message =
        "triple fault at EIP 0x00100001: an exception found no handler; check the guest's IDT and stack";
    for jit in JITS {
        assert_eq!(run_image(&image, &[jit, "--threshold=0"]), only(4, message), "{jit}");
    }
}

#[test]
fn a_jump_to_where_no_code_is_says_what_is_there() {
    let nowhere = guest("nowhere.elf", &jump_to(NOWHERE));
    // All ones are no instruction.
    let device = guest("device.elf", &jump_into_the_test_block(0xffff_ffff));
    let fault = |place: &str| {
        format!("triple fault at EIP {place}: an exception found no handler; check the guest's IDT and stack")
    };
    for jit in JITS {
        let args = [jit, "--threshold=0"];
        let message = fault("0x80000000, in unassigned memory");
        assert_eq!(run_image(&nowhere, &args), only(4, &message), "{jit}");
        let message = fault("0xfe000000, in the device \"test-block\"");
        assert_eq!(run_image(&device, &args), only(4, &message), "{jit}");
    }
}

#[test]
fn an_endless_loop_is_stopped_by_its_limit() {
    let ram = guest("loop.elf", &LOOP);
    let device = guest("device-loop.elf", &jump_into_the_test_block(u32::from(u16::from_le_bytes(LOOP))));
    for jit in JITS {
        let args = [jit, "--threshold=0", "--max-instructions=123456"];
        let message = |place: &str| {
            format!(
                "stopped after 123456 instructions at EIP {place}; raise --max-instructions to go further"
            )
        };
        assert_eq!(run_image(&ram, &args), only(8, &message("0x00100000")), "{jit}");
        let place = "0xfe000000, in the device \"test-block\"";
        assert_eq!(run_image(&device, &args), only(8, &message(place)), "{jit}");
    }
}

/// Starts a guest, waits until it has printed a line, and sends Ctrl-C.
fn interrupted(image: &Path, jit: &str) -> Ending {
    let mut command = marq(&["run", jit, "--threshold=0", &image.to_string_lossy()]);
    let mut child: Child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("marq starts");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    let mut printed = String::new();
    output.read_line(&mut printed).expect("the guest's line");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::INT).expect("the process runs");
    output.read_to_string(&mut printed).expect("the rest of its output");
    let (status, _, stderr) = ending(&child.wait_with_output().expect("marq ends"));
    (status, printed, stderr)
}

#[test]
fn an_endless_loop_is_stopped_by_ctrl_c() {
    // `mov al, 0x0a; out 0xe9, al; jmp $`.
    let image = guest("ctrl-c.elf", &[0xb0, 0x0a, 0xe6, 0xe9, 0xeb, 0xfe]);
    for jit in JITS {
        let (status, stdout, stderr) = interrupted(&image, jit);
        assert_eq!((status, stdout.as_str()), (Some(130), "\n"), "{jit}: {stderr}");
        let count = stderr
            .strip_prefix("marq: stopped by Ctrl-C after ")
            .and_then(|rest| rest.strip_suffix(" instructions at EIP 0x00100004\n"));
        assert!(count.is_some_and(|count| count.parse::<u64>().is_ok()), "{jit}: {stderr:?}");
    }
}

#[test]
fn a_guest_that_can_go_no_further_says_why() {
    let halted = guest("halted.elf", &[0xf4]);
    let message = "halted for good before EIP 0x00100001: nothing can end the HLT; end the guest by port f4";
    assert_eq!(run_image(&halted, &[]), only(6, message));
    // ICW1 to ICW4, `mov al, 0ffh; out 21h, al; sti; hlt`: the timer runs, but its line is masked.
    let setup = [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xff)];
    let mut code = setup.map(|(port, value)| [0xb0, value, 0xe6, port]).concat();
    code.extend([0xfb, 0xf4]);
    let masked = guest("masked.elf", &code);
    let message = "halted for good before EIP 0x00100016: nothing can end the HLT; end the guest by port f4";
    for jit in JITS {
        assert_eq!(run_image(&masked, &[jit, "--threshold=0"]), only(6, message), "{jit}");
    }
    // `xor eax, eax; mov cr0, eax`.
    let real_mode = guest("real-mode.elf", &[0x31, 0xc0, 0x0f, 0x22, 0xc0]);
    let message = "the instruction at EIP 0x00100002 needs real mode, which is not built; change the guest";
    assert_eq!(run_image(&real_mode, &[]), only(10, message));
}

#[test]
fn resources_that_the_host_lacks_are_named() {
    let image = guest("resources.elf", &[0xf4]);
    let (status, stdout, stderr) = run_image(&image, &["--code-cache=1000000G"]);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("marq: no 0x3d09000000000 bytes of code memory"), "{stderr}");
    assert!(stderr.ends_with("; ask for less (--code-cache)\n") && stderr.lines().count() == 1, "{stderr}");
    let inside = format!("{}/dump", image.display());
    let (status, _, stderr) = run_image(&image, &["--dump=clif", "--dump-dir", &inside]);
    assert_eq!(status, Some(2));
    assert!(stderr.starts_with(&format!("marq: {inside}: ")), "{stderr}");
    assert!(stderr.ends_with("; name a directory that can be written (--dump-dir)\n"), "{stderr}");
}

/// `marq guests | head -1` ends quietly, whoever of the two is faster.
#[test]
fn output_that_nobody_takes_is_no_error() {
    for args in [&["guests"][..], &["mtree"], &["explain", "11 d8"], &["run"]] {
        let (reader, writer) = std::io::pipe().expect("the host gives pipes");
        drop(reader);
        let output = marq(args).stdout(writer).output().expect("marq starts");
        assert_eq!(ending(&output), (Some(0), String::new(), String::new()), "{args:?}");
    }
}

#[test]
fn a_benchmark_that_cannot_begin_says_why() {
    let bench = |args: &[&str]| {
        let output = marq(args).env("PATH", env!("CARGO_TARGET_TMPDIR")).output();
        ending(&output.expect("marq starts"))
    };
    let message = "no guest matches \"nothing\"; `marq guests` lists them";
    assert_eq!(bench(&["bench", "--filter", "nothing"]), only(2, message));
    let (status, stdout, stderr) = bench(&["bench", "--filter", "sieve", "--vs", "qemu"]);
    assert_eq!((status, stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("marq: qemu-system-i386 cannot be started: "), "{stderr}");
    assert!(stderr.ends_with("; install it, or leave out --vs qemu\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_benchmark_that_is_interrupted_leaves_nothing_behind() {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    // What an earlier failure left.
    let _removed = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch).expect("the tests' own directory can be written");
    let mut command = marq(&["bench", "--filter", "fib", "--rounds", "1"]);
    command.env("TMPDIR", &scratch).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("marq starts");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
    let mut row = String::new();
    output.read_line(&mut row).expect("the first of two rows");
    assert!(row.starts_with("fib "), "{row:?}");
    let files = || fs::read_dir(&scratch).expect("it is there").count();
    assert_eq!(files(), 1, "its own directory, while it runs");
    kill_process(Pid::from_child(&child), Signal::INT).expect("the process runs");
    let ended = ending(&child.wait_with_output().expect("marq ends"));
    assert_eq!(ended, (Some(130), String::new(), String::new()));
    assert_eq!(files(), 0);
}
