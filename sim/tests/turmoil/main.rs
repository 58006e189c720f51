//! The runtime on turmoil's network, under the same rules as the simulated world.

use sim::turmoil::{Bed, Failure, Plan};
use std::time::Duration;

type Outcome = Result<(), Failure>;

#[test]
fn three_daemons_link_and_agree() -> Outcome {
    let bed = settled(Plan::new(1, 3))?;
    for peer in bed.view().peers {
        assert_eq!(peer.conns.len(), 2);
    }
    Ok(())
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn settled(plan: Plan) -> Result<Bed, Failure> {
    let mut bed = Bed::new(plan).unwrap();
    bed.settle(secs(30))?;
    Ok(bed)
}
