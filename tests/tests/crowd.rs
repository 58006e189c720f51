//! Thirty peers on one machine, and a life full of faults. How fast it all goes is measured, in a
//! release build and against goals, by `make crowd`.

use anyhow::{Result, ensure};
use weft_tests::crowd::Crowd;

#[test]
fn thirty_peers_find_each_other_survive_a_split_and_a_frozen_one_and_are_whole_again() -> Result<()>
{
    let (crowd, _) = Crowd::gather(30)?;
    // Neither the end of a half nor the first one, of which many others were told.
    crowd.freeze(7)?;
    crowd.split()?;
    for host in crowd.lab.hosts() {
        let log = host.log();
        ensure!(!log.contains("panicked"), "{log}");
    }
    crowd.lab.finish()
}
