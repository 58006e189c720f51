//! What watches a node from the driver's own place.

use weft_core::config::Config;
use weft_core::io::{Input, Output};
use weft_core::node::{Node, Seed};
use weft_core::saved::Saved;
use weft_core::time::Now;

/// Sees every call of one node. The simulator judges by it; [`NoProbe`] compiles to nothing.
pub trait Probe: Send + 'static {
    /// A node is about to be made from these.
    fn start(&mut self, _now: Now, _config: &Config, _saved: &Saved, _seed: &Seed) {}
    /// The node is about to take `input`.
    fn before(&mut self, now: Now, input: &Input);
    /// The node has been made, or has taken an input; nothing of `outputs` is carried out yet.
    fn after(&mut self, now: Now, node: &Node, outputs: &[Output]);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn before(&mut self, _now: Now, _input: &Input) {}
    fn after(&mut self, _now: Now, _node: &Node, _outputs: &[Output]) {}
}

/// Watches where there is somebody to watch.
impl<P: Probe> Probe for Option<P> {
    fn start(&mut self, now: Now, config: &Config, saved: &Saved, seed: &Seed) {
        if let Some(probe) = self {
            probe.start(now, config, saved, seed);
        }
    }

    fn before(&mut self, now: Now, input: &Input) {
        if let Some(probe) = self {
            probe.before(now, input);
        }
    }

    fn after(&mut self, now: Now, node: &Node, outputs: &[Output]) {
        if let Some(probe) = self {
            probe.after(now, node, outputs);
        }
    }
}
