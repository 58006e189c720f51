//! Daemons that are told to stop, at good times and at bad ones.

use super::*;
use crate::bed::{container, names_at};
use weft::api::client::{Content, Method};
use weft_core::io::{Command, CommandError, Reply};

/// A stop takes as long as the last words do.
const STOPPED: Duration = Duration::from_millis(200);

/// Has the daemon of `host` stop by its API, and checks that it did, well and in time.
fn stop(bed: &mut Bed, host: usize) -> Outcome {
    let job = bed.start(host, async |inside| {
        inside.api(inside.host, Method::POST, "/stop", Content::Nothing).await
    });
    bed.run_for(STOPPED)?;
    assert_eq!(job.result().unwrap().unwrap().status, 204);
    assert_eq!(bed.exit(host), Some(&Ok(())));
    Ok(())
}

#[test]
fn a_daemon_that_is_told_to_stop_answers_ends_at_once_and_is_forgotten_in_time() -> Outcome {
    let mut bed = settled(plan(601, 3))?;
    stop(&mut bed, 2)?;
    bed.until(TOLD, "its name is gone", |view| {
        (0..2).all(|host| names_at(view, host) == ["c1", "c2"])
    })?;
    bed.settle(secs(5))?;
    bed.boot(2);
    bed.settle(secs(20))?;
    assert_eq!(names_at(&bed.view(), 0), all_names(3));
    Ok(())
}

#[test]
fn a_stop_in_the_middle_of_a_partition_takes_no_longer() -> Outcome {
    let mut bed = settled(plan(602, 4))?;
    bed.partition(&[0, 1]);
    bed.run_for(millis(500))?;
    // Its links still seem to stand; what it writes gets lost.
    stop(&mut bed, 0)?;
    bed.run_for(SILENCE)?;
    // Its links across the cut are gone, and it dials.
    stop(&mut bed, 1)?;
    bed.heal();
    bed.settle(secs(20))?;
    Ok(())
}

#[test]
fn a_stop_while_every_stream_stalls_takes_no_longer() -> Outcome {
    let mut bed = settled(plan(603, 4))?;
    bed.hold_all(0);
    bed.register(0, "unheard")?;
    stop(&mut bed, 0)?;
    bed.heal();
    bed.until(SILENCE, "its name is gone", |view| {
        (1..4).all(|host| names_at(view, host) == ["c2", "c3", "c4"])
    })?;
    bed.settle(secs(20))?;
    Ok(())
}

#[test]
fn an_allocation_that_waits_is_told_that_weft_is_stopping() -> Outcome {
    let mut bed = Bed::new(plan(604, 3)).unwrap();
    bed.partition(&[0]);
    bed.run_for(secs(1))?;
    let waiting = bed.start(0, async |inside| inside.allocate(container("x")).await);
    let over_api =
        bed.start(0, async |inside| inside.api(0, Method::POST, "/ip/y", Content::Nothing).await);
    bed.run_for(millis(500))?;
    assert!(!waiting.is_done() && !over_api.is_done());
    stop(&mut bed, 0)?;
    assert_eq!(waiting.result(), Some(Err(CommandError::Stopping)));
    let answer = over_api.result().unwrap().unwrap();
    assert_eq!((answer.status, answer.text.contains("weft is stopping")), (503, true));
    Ok(())
}

#[test]
fn whoever_waits_for_the_founding_without_limit_is_answered_by_a_stop() -> Outcome {
    let mut bed = Bed::new(plan(605, 3)).unwrap();
    bed.partition(&[0]);
    let job =
        bed.start(0, async |inside| inside.api(0, Method::GET, "/ring", Content::Nothing).await);
    bed.run_for(secs(60))?;
    assert!(!job.is_done());
    stop(&mut bed, 0)?;
    assert_eq!(job.result().unwrap().unwrap().status, 503);
    Ok(())
}

#[test]
fn a_stop_while_dials_are_under_way_takes_no_longer() -> Outcome {
    let mut bed = Bed::new(plan(606, 5)).unwrap();
    bed.hold_all(0);
    bed.run_for(secs(2))?;
    let view = bed.view();
    assert!(view.peers[0].live && view.peers[0].conns.is_empty());
    stop(&mut bed, 0)?;
    bed.heal();
    bed.settle(secs(30))?;
    Ok(())
}

#[test]
fn a_stop_in_the_middle_of_handshakes_takes_no_longer() -> Outcome {
    let latency = (millis(200), millis(201));
    let mut bed = Bed::new(Plan { latency, ..plan(607, 5) }).unwrap();
    // Streams are open, and the answers to the first messages are under way.
    bed.run_for(millis(500))?;
    let conns = bed.view().peers[0].conns.len();
    let status = bed.status(0)?;
    assert!(conns == 0 && status.conns.len() >= 4, "{:?}", status.conns);
    stop(&mut bed, 0)?;
    bed.settle(secs(60))?;
    Ok(())
}

#[test]
fn a_peer_that_leaves_hands_over_every_address_that_it_owned() -> Outcome {
    let configure = |_, config: &mut weft_core::config::Config| {
        config.universe = weft_core::addr::Universe::new("10.32.0.0/28".parse().unwrap()).unwrap();
    };
    let mut bed = settled(Plan { configure, ..plan(608, 3) })?;
    bed.ask(2, async |inside| inside.release(container("c3")).await)?.unwrap();
    let answer = bed.api(2, Method::DELETE, "/peer", Content::Nothing)?;
    assert_eq!(answer.status, 204);
    bed.run_for(STOPPED)?;
    assert_eq!(bed.exit(2), Some(&Ok(())));
    bed.settle(secs(10))?;
    // 14 usable addresses, of which two are in use.
    let mut given = 0;
    while bed.allocate(given % 2, &format!("x{given}"))?.is_ok() {
        given += 1;
    }
    assert_eq!(given, 12);
    Ok(())
}

#[test]
fn a_mesh_that_stops_all_at_once_is_the_same_after_the_next_start() -> Outcome {
    let mut bed = settled(plan(609, 5))?;
    let before = bed.view();
    let stops: Vec<_> = (0..5)
        .map(|host| {
            bed.start(host, async |inside| {
                inside.api(inside.host, Method::POST, "/stop", Content::Nothing).await
            })
        })
        .collect();
    bed.run_for(STOPPED)?;
    for (host, stop) in stops.into_iter().enumerate() {
        assert_eq!(stop.result().unwrap().unwrap().status, 204);
        assert_eq!(bed.exit(host), Some(&Ok(())));
        bed.boot(host);
    }
    bed.settle(secs(30))?;
    let after = bed.view();
    for (before, after) in before.peers.iter().zip(&after.peers) {
        assert_eq!((&before.noted, before.lineage), (&after.noted, after.lineage));
    }
    assert_eq!(names_at(&after, 4), all_names(5));
    Ok(())
}

#[test]
fn what_is_asked_after_a_stop_is_refused_with_the_reason() -> Outcome {
    let mut bed = settled(plan(610, 3))?;
    let answers = bed.ask(0, async |inside| {
        let stopped = inside.node.command(Command::Stop).await;
        let late = inside.allocate(container("x")).await;
        (stopped, late, inside.node.status().await.map(|_| ()))
    })?;
    let stopping = CommandError::Stopping;
    assert_eq!(answers, (Ok(Reply::Done), Err(stopping.clone()), Err(stopping)));
    bed.run_for(STOPPED)?;
    assert_eq!(bed.exit(0), Some(&Ok(())));
    Ok(())
}

#[test]
fn a_client_that_says_nothing_does_not_delay_a_stop() -> Outcome {
    let mut bed = settled(plan(611, 3))?;
    let mute = bed.start(1, async |inside| {
        let mut stream = inside.api_stream(0).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /status HT").await.unwrap();
        // Until the other side ends it.
        let mut rest = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    });
    bed.run_for(secs(1))?;
    stop(&mut bed, 0)?;
    bed.finish(&mute, secs(1))?;
    Ok(())
}

#[test]
fn a_stop_during_an_attachment_leaves_the_container_whole_or_without_an_address() -> Outcome {
    let mut bed = settled(plan(612, 3))?;
    for round in 0..4u64 {
        bed.kernel(0).slow(millis(60));
        let id = container(&format!("x{round}"));
        let attach = bed.start(0, async move |inside| inside.attach(id).await);
        bed.run_for(millis(10 + 20 * round))?;
        stop(&mut bed, 0)?;
        assert!(attach.is_done() || attach.is_lost());
        bed.kernel(0).slow(Duration::ZERO);
        bed.boot(0);
        // What has an address and no interface is found and given back.
        bed.run_for(secs(12))?;
        bed.settle(secs(30))?;
        let view = bed.view();
        let (noted, held) = (&view.peers[0].noted, &view.peers[0].held);
        assert_eq!(noted, held, "round {round}");
    }
    Ok(())
}
