//! What a process takes of the machine, as /proc tells it.

use crate::trace::entries;
use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;

/// Unit of the times in `/proc/PID/stat`. Source: proc(5); USER_HZ is 100 on all that Linux runs on
/// but Alpha.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of memory that process `pid` has in use, as `/proc/PID/statm` counts pages.
///
/// # Errors
/// When there is no such process.
pub fn resident(pid: u32) -> Result<u64> {
    in_status(pid, "VmRSS:")
}

/// The most of it since the start, or since [`forget_peak`].
///
/// # Errors
/// When there is no such process.
pub fn peak(pid: u32) -> Result<u64> {
    in_status(pid, "VmHWM:")
}

/// From here on [`peak`] counts afresh.
///
/// # Errors
/// When there is no such process.
pub fn forget_peak(pid: u32) -> Result<()> {
    // Source: proc_pid_clear_refs(5).
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak of memory")
}

/// How many files and sockets process `pid` has open.
pub fn descriptors(pid: u32) -> usize {
    entries(format!("/proc/{pid}/fd")).len()
}

/// How long process `pid` has had a processor since its start, to 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn worked(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Field 2, the name, is in parentheses and may hold some. Fields 14 and 15 are the times in user
    // and in kernel mode, of threads that have ended too.
    let (_, fields) = stat.rsplit_once(") ").context("no stat of a process")?;
    let times = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = times.sum::<Result<_, _>>()?;
    Ok(TICK * ticks)
}

/// A field of `/proc/PID/status` that is in kB, in bytes.
fn in_status(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    let count = value.and_then(|value| value.trim().strip_suffix(" kB"));
    let count: u64 = count.with_context(|| format!("process {pid} has no {field}"))?.parse()?;
    Ok(count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};
    use std::time::Instant;

    #[test]
    fn memory_and_work_of_this_process_are_seen() {
        let pid = std::process::id();
        let before = (resident(pid).unwrap(), worked(pid).unwrap());
        let start = Instant::now();
        let mut block = vec![0u8; 64 << 20];
        while worked(pid).unwrap() < before.1 + TICK * 3 {
            block.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
            assert!(start.elapsed() < Duration::from_secs(60), "no work is seen");
        }
        assert!(resident(pid).unwrap() >= before.0 + (60 << 20));
        // Of this moment or before: other tests of this process take memory and give it back meanwhile.
        assert!(peak(pid).unwrap() >= before.0 + (60 << 20));
        drop(block);
    }

    #[test]
    fn a_file_that_a_process_opens_is_seen() {
        // Not of this process: other tests of it open and close files meanwhile.
        let mut child = Command::new("sh");
        child.args(["-c", "echo; read _; exec 7</dev/null; echo; read _"]);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        told.next().unwrap().unwrap();
        let before = descriptors(child.id());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"\n").unwrap();
        told.next().unwrap().unwrap();
        assert_eq!(descriptors(child.id()), before + 1);
        drop(stdin);
        child.wait().unwrap();
    }
}
