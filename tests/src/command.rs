//! Programs that must end within a time, and programs that run beside a test.

use crate::{holds_within, wait_until};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a program came to.
#[derive(Clone, Debug)]
pub struct Done {
    /// The program and its arguments.
    pub line: String,
    /// As a shell counts: the exit code, or 128 plus the signal that ended it.
    pub code: i32,
    /// All it printed, without spaces at the end.
    pub stdout: String,
    /// All its complaints, without spaces at the end.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Done {
    /// What it printed.
    ///
    /// # Errors
    /// When it did not end with 0.
    pub fn ok(self) -> Result<String> {
        ensure!(self.code == 0, "{self}");
        Ok(self.stdout)
    }

    /// Checks that it complained as `weft` does: with this exit code, and one line that contains
    /// `culprit` and a word of `remedy`, in whatever case.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn complains(&self, code: i32, culprit: &str, remedy: &[&str]) -> Result<()> {
        ensure!(self.code == code, "expected exit code {code}: {self}");
        ensure!(self.stderr.lines().count() == 1, "expected one line of error: {self}");
        ensure!(self.stderr.starts_with("weft: "), "expected `weft: …`: {self}");
        let line = self.stderr.to_lowercase();
        let culprit = culprit.to_lowercase();
        ensure!(line.contains(&culprit), "the line does not name {culprit}: {self}");
        let advised = remedy.iter().any(|word| line.contains(word));
        ensure!(advised, "the line advises none of {remedy:?}: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr, took } = self;
        write!(f, "`{line}` ended with {code} after {took:?}\n{stdout}\n{stderr}")
    }
}

/// Runs `command` and waits until it has ended and nothing holds its output open any more.
///
/// # Errors
/// When it cannot be started, or takes longer than `within`; then it is killed.
pub fn run(command: &mut Command, within: Duration) -> Result<Done> {
    let line = line(command);
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let mut texts = Vec::new();
    for end in [stdout, stderr] {
        let left = within.saturating_sub(start.elapsed());
        let Ok(text) = end.recv_timeout(left) else {
            let ended = child.try_wait()?;
            child.kill().and_then(|()| child.wait())?;
            match ended {
                Some(_) => bail!("`{line}` ended, but something it started holds its output open"),
                None => bail!("`{line}` did not end within {within:?}"),
            }
        };
        texts.push(text.trim_end().to_owned());
    }
    let status = child.wait()?;
    let stderr = texts.pop().unwrap_or_default();
    let stdout = texts.pop().unwrap_or_default();
    Ok(Done { line, code: code(status), stdout, stderr, took: start.elapsed() })
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A reading error ends the text early; the test sees that.
            let _ = pipe.read_to_end(&mut bytes);
        }
        // The receiver is gone when the deadline has passed.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// A program that runs beside the test, and is killed when this is dropped.
#[derive(Debug)]
pub struct Background {
    line: String,
    child: Child,
    output: PathBuf,
}

impl Background {
    /// Starts `command`; what it prints and its complaints go to the file `output`.
    ///
    /// # Errors
    /// When the file cannot be made or the program not be started.
    pub fn start(command: &mut Command, output: &Path) -> Result<Self> {
        let file = File::create(output)?;
        let line = line(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self { line, child, output: output.to_owned() })
    }

    /// All that it has printed so far.
    pub fn text(&self) -> String {
        fs::read(&self.output)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// How many lines so far contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.text().lines().filter(|line| line.contains(part)).count()
    }

    /// Waits until it has printed `part`.
    ///
    /// # Errors
    /// When that takes longer than `within`.
    pub fn wait_for(&self, part: &str, within: Duration) -> Result<()> {
        let what = format!("`{}` printed {part:?}", self.line);
        wait_until(&what, within, || self.text().contains(part))
            .with_context(|| format!("it printed:\n{}", self.text()))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal called `name` (`TERM`, `INT`, …).
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, name: &str) -> Result<()> {
        signal(self.pid(), name)
    }

    /// Waits for its end and gives its exit code, as a shell counts.
    ///
    /// # Errors
    /// When it is still running after `within`.
    pub fn wait(&mut self, within: Duration) -> Result<i32> {
        let mut ended = None;
        let done = holds_within(within, || {
            ended = self.child.try_wait().ok().flatten();
            ended.is_some()
        });
        ensure!(
            done,
            "`{}` did not end within {within:?}; it printed:\n{}",
            self.line,
            self.text()
        );
        Ok(ended.map(code).unwrap_or_default())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Either fails when it has ended already, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends the signal called `name` to the process `pid`.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    let mut kill = Command::new("kill");
    run(kill.args(["-s", name, &pid.to_string()]), Duration::from_secs(5))?.ok().map(drop)
}
