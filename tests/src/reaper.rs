//! Takes away what the labs of this process leave when it is killed, by Ctrl-C for instance: nothing of it runs
//! then that could. A shell waits for its end beside it.

use anyhow::{Context as _, Result};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Reads what all that is to go has in its name or its arguments, and waits for the end of the file, which comes
/// with the end of whoever holds the other end of the pipe. The mark is no argument: it would be one of ours.
const SCRIPT: &str = r#"
read -r mark && [ -n "$mark" ] || exit
cat > /dev/null
marked() { grep -lsF -e "$mark" /proc/[0-9]*/cmdline /proc/[0-9]*/environ | cut -d / -f 3; }
marked | xargs -r kill -KILL
for namespace in /run/netns/"$mark"*; do
  [ -e "$namespace" ] || continue
  ip netns pids "${namespace##*/}" | xargs -r kill -KILL
  ip netns delete "${namespace##*/}"
done
grep -F -e "$mark" /proc/self/mounts | cut -d ' ' -f 2 | xargs -r umount --lazy
rm -rf "$1/$mark"*
# A daemon may have been writing its last file.
sleep 1
rm -rf "$1/$mark"*
"#;

/// The one of this process.
static REAPER: Mutex<Option<Child>> = Mutex::new(None);

/// Has all that bears `mark`, and lies in `folder` if it is a file, taken away at the end of this process. Once
/// for each process is enough.
///
/// # Errors
/// When no shell can be started.
pub fn start(mark: &str, folder: &str) -> Result<()> {
    let mut reaper = REAPER.lock().unwrap_or_else(PoisonError::into_inner);
    if reaper.is_some() {
        return Ok(());
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "reaper", folder]).stdin(Stdio::piped());
    // What a terminal sends to all of the foreground is not for it, and nobody waits for its output.
    shell.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut shell = shell.spawn().context("cannot start `sh`")?;
    // Kept open as long as this process lives: other programs that it starts do not inherit it.
    let pipe = shell.stdin.as_mut().context("the shell has no input")?;
    writeln!(pipe, "{mark}").context("the shell does not read")?;
    *reaper = Some(shell);
    Ok(())
}
