//! The real driver on turmoil's network, under the same rules.

use sim::turmoil::Bed;
use std::time::Duration;

#[test]
fn three_drivers_link_and_agree_on_names() {
    let bed = settled(1);
    for peer in bed.now().peers {
        assert_eq!(peer.conns.len(), 2);
        assert_eq!(peer.names.len(), 3);
    }
}

#[test]
fn a_partition_ends_links_by_silence_and_they_return_after_it() {
    let mut bed = settled(2);
    bed.isolate(0, true);
    bed.settle(Duration::from_secs(60)).unwrap();
    assert_eq!(bed.now().peers[1].names.len(), 2);
    bed.isolate(0, false);
    bed.settle(Duration::from_secs(120)).unwrap();
    assert_eq!(bed.now().peers[1].names.len(), 3);
}

#[test]
fn a_driver_that_crashed_returns_with_its_name() {
    let mut bed = settled(3);
    bed.crash(2);
    bed.settle(Duration::from_secs(60)).unwrap();
    assert_eq!(bed.now().peers[0].names.len(), 2);
    bed.bounce(2);
    bed.settle(Duration::from_secs(120)).unwrap();
    assert_eq!(bed.now().peers[0].names.len(), 3);
    assert!(bed.now().peers[2].incarnation > bed.now().peers[0].incarnation);
}

fn settled(seed: u64) -> Bed {
    let bed = Bed::new(seed, 3).map_err(|why| why.to_string()).and_then(|mut bed| {
        bed.settle(Duration::from_secs(30)).map_err(|violation| violation.to_string())?;
        Ok(bed)
    });
    bed.unwrap_or_else(|why| panic!("{why}"))
}
