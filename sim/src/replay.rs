//! Runs a flight recording of a real daemon again, and compares what the node does.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use weft_core::flight::{End, Flight, OutputPrint};
use weft_core::io::{Outbox, Output};
use weft_core::node::Node;
use weft_core::time::Now;

/// Longest text of one input or output.
const TEXT_LEN_MAX: usize = 240;

/// A replay that did the same as the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Same {
    /// Calls whose outputs were compared, that which made the node included.
    pub calls: usize,
    /// How the recording ends.
    pub end: End,
    /// What the last call came to, when the recording does not say: it never returned there.
    pub last: Option<String>,
}

/// Where a replay did otherwise first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which call; 0 made the node.
    pub call: usize,
    /// When that was, on the node's clocks.
    pub now: Now,
    /// What it was told.
    pub input: String,
    /// The first output that differs.
    pub output: usize,
    /// How many there are in the recording.
    pub recorded: usize,
    /// What came instead; `None` when nothing did.
    pub instead: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, now, input, output, recorded, instead } = self;
        writeln!(f, "call {call} at {} does otherwise than in the recording", now.mono)?;
        writeln!(f, "  told      {input}")?;
        writeln!(f, "  recorded  {recorded} outputs; number {} differs", output + 1)?;
        write!(f, "  instead   {}", instead.as_deref().unwrap_or("there is none"))
    }
}

/// Runs `flight` again.
///
/// # Errors
/// Says where it first does otherwise.
pub fn replay(flight: Flight) -> Result<Same, Difference> {
    let Flight { takeoff, calls, end } = flight;
    let mut out = Outbox::default();
    let made =
        told(|| Node::new(takeoff.config, takeoff.saved, takeoff.seed, takeoff.now, &mut out));
    let made = made.and_then(|made| made.map_err(|why| format!("it does not start: {why}")));
    let mut compared = Compared { call: 0, now: takeoff.now, input: "to start".to_owned(), end };
    let mut node = match (made, &takeoff.outputs) {
        (Ok(node), Some(prints)) => {
            compared.compare(prints, &mut out)?;
            node
        }
        (made, None) => return Ok(compared.unreturned(made.err())),
        (Err(why), Some(prints)) => return Err(compared.difference(prints.len(), 0, Some(why))),
    };
    for (number, call) in (1..).zip(calls) {
        let input = short(&call.input);
        compared = Compared { call: number, now: call.now, input, end };
        let done = told(|| node.handle(call.now, call.input, &mut out));
        match (done, &call.outputs) {
            (Ok(()), Some(prints)) => compared.compare(prints, &mut out)?,
            (done, None) => return Ok(compared.unreturned(done.err())),
            (Err(why), Some(prints)) => {
                return Err(compared.difference(prints.len(), 0, Some(why)));
            }
        }
    }
    Ok(Same { calls: compared.call + 1, end, last: None })
}

/// The call at hand.
struct Compared {
    call: usize,
    now: Now,
    input: String,
    end: End,
}

impl Compared {
    /// Compares what the call put out, and empties `out`.
    fn compare(&self, prints: &[OutputPrint], out: &mut Outbox) -> Result<(), Difference> {
        let outputs: Vec<Output> = out.drain().collect();
        let ours = outputs.iter().map(OutputPrint::of);
        let same = ours.zip(prints).take_while(|(ours, theirs)| ours == *theirs).count();
        if same == prints.len() && same == outputs.len() {
            return Ok(());
        }
        Err(self.difference(prints.len(), same, outputs.get(same).map(short)))
    }

    fn difference(&self, recorded: usize, output: usize, instead: Option<String>) -> Difference {
        let Self { call, now, ref input, .. } = *self;
        Difference { call, now, input: input.clone(), output, recorded, instead }
    }

    /// The recording does not say what came of the call.
    fn unreturned(self, panicked: Option<String>) -> Same {
        let returned = || "it returns here".to_owned();
        let last = format!("{}: {}", self.input, panicked.unwrap_or_else(returned));
        // Where the recording itself ends, the call may well have returned.
        Same { calls: self.call, end: self.end, last: (self.end == End::Whole).then_some(last) }
    }
}

/// What `work` returns, or what it panicked with.
fn told<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("it panics: {}", text.unwrap_or("without a word"))
    })
}

fn short(what: &impl fmt::Debug) -> String {
    let text = format!("{what:?}");
    match text.char_indices().nth(TEXT_LEN_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
