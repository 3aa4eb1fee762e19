//! One timed run of a guest in a child process: the time between its own start and end markers.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// QEMU's program.
const QEMU: &str = "qemu-system-i386";
/// Longest that a single run may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Unit of `/proc/PID/stat`: USER_HZ, which is 100 on x86-64.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Wall time, in seconds.
    pub wall: f64,
    /// Processor time of all threads, in seconds.
    pub cpu: f64,
}

/// Who runs the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This emulator, with the given `--jit`.
    Marq(&'static str),
    /// `qemu-system-i386`.
    Qemu,
    /// The same source as a program of the host.
    Native(PathBuf),
}

/// What to run: an image, its work amount, and whether with paging.
#[derive(Clone, Debug)]
pub struct Work {
    /// The image.
    pub image: PathBuf,
    /// Command line for the guest, without `n=`.
    pub append: String,
    /// Work amount.
    pub n: u64,
}

/// Finds out whether QEMU can be started.
///
/// # Errors
/// A sentence that says why not, and what to do.
pub fn find_qemu() -> Result<(), String> {
    let mut command = Command::new(QEMU);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let hint = "install it, or leave out --vs qemu";
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{QEMU} --version: {status}; {hint}")),
        Err(error) => Err(format!("{QEMU} cannot be started: {error}; {hint}")),
    }
}

impl Subject {
    fn command(&self, work: &Work) -> std::io::Result<Command> {
        let append = format!("{} n={}", work.append, work.n).trim().to_owned();
        Ok(match self {
            Self::Marq(jit) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["run", "--jit", jit, "--append", &append]).arg(&work.image);
                command
            }
            Self::Qemu => {
                let mut command = Command::new(QEMU);
                command.args([
                    "-accel",
                    "tcg",
                    "-m",
                    "64",
                    "-display",
                    "none",
                    "-serial",
                    "none",
                    "-no-reboot",
                ]);
                command.args(["-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
                command.args(["-append", &append, "-kernel"]).arg(&work.image);
                command
            }
            Self::Native(program) => {
                let mut command = Command::new(program);
                command.args(append.split(' '));
                command
            }
        })
    }

    /// Runs the work once.
    ///
    /// # Errors
    /// A sentence that says what failed: the program could not be started, or no marker came.
    pub fn time(&self, work: &Work) -> Result<Timing, String> {
        let mut command = self.command(work).map_err(|error| error.to_string())?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.map_err(|error| format!("{:?}: {error}", command.get_program()))?;
        let timing = time_between_markers(&mut child);
        // A child that is gone already is what we want.
        let _killed = child.kill();
        let _status = child.wait();
        timing
    }
}

/// Reads the child's output until both markers have passed.
fn time_between_markers(child: &mut Child) -> Result<Timing, String> {
    let pid = child.id();
    let Some(mut output) = child.stdout.take() else { return Err("no output".to_owned()) };
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    let mut start: Option<(Instant, f64)> = None;
    let began = Instant::now();
    loop {
        let count = output.read(&mut buffer).map_err(|error| error.to_string())?;
        let now = Instant::now();
        if count == 0 {
            return Err(format!(
                "ended before its end marker; last output: {:?}",
                String::from_utf8_lossy(&seen)
            ));
        }
        seen.extend_from_slice(&buffer[..count]);
        if start.is_none() && has_line(&seen, "start ") {
            start = Some((now, cpu_seconds(pid)));
        }
        if let Some((at, cpu)) = start
            && has_line(&seen, "end")
        {
            let cpu = cpu_seconds(pid) - cpu;
            return Ok(Timing { wall: now.duration_since(at).as_secs_f64(), cpu });
        }
        if began.elapsed() > PATIENCE {
            return Err("no end marker in time".to_owned());
        }
    }
}

/// Whether a finished line begins with `prefix`.
fn has_line(output: &[u8], prefix: &str) -> bool {
    let finished = output.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    output[..finished].split(|byte| *byte == b'\n').any(|line| line.starts_with(prefix.as_bytes()))
}

/// Processor time of a process so far, in seconds; 0 when the host does not tell.
///
/// Threads that have ended count, in a process that has ended too, as long as nobody has waited for it: the guest's
/// last line is read at about the time when its emulator ends.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    cpu_ticks(&stat).unwrap_or(0) as f64 / TICKS_PER_SECOND
}

/// User and system time in the text of `/proc/PID/stat`, fields 14 and 15. Field 2, the program's name, may contain
/// anything, but what follows its last parenthesis is numbers and one letter.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_whole_lines() {
        assert!(!has_line(b"start sieve", "start "));
        assert!(has_line(b"start sieve n=3\n", "start "));
        assert!(!has_line(b"start sieve n=3\nen", "end"));
        assert!(has_line(b"start sieve n=3\nend\nresult", "end"));
    }
    #[test]
    fn times_come_after_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a) 1 (b c) S 1 7 7 0 -1 4194304 90 0 0 0 250 31 0 0 20 0 3 0 100 1 1";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!([cpu_ticks(""), cpu_ticks("7 (a) S 1 7")], [None, None]);
    }

    /// What the next test's child does.
    #[test]
    fn spin_in_a_thread() {
        let spin = || (0..400_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        std::thread::spawn(spin).join().unwrap();
    }

    #[test]
    fn threads_of_a_process_that_has_ended_count_until_it_is_waited_for() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "bench::subject::tests::spin_in_a_thread"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert!(output.contains("1 passed"), "{output}");
        let seconds = cpu_seconds(child.id());
        child.wait().unwrap();
        assert!(seconds >= 0.05, "{seconds}");
        assert!(cpu_seconds(child.id()) == 0.0, "nobody is left to ask");
    }
}
