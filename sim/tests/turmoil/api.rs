//! The API, while the mesh is well and while it is not.

use super::*;
use crate::bed::{PORT, container, linked, names_at};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weft::api::client::{Content, Method};

/// Asks for the addresses of a name at `host`.
fn lookup(bed: &mut Bed, host: usize, name: &str) -> Result<Vec<String>, Failure> {
    let path = format!("/lookup/{name}.weft.local");
    let answer = bed.api(host, Method::GET, &path, Content::Nothing)?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Ok(serde_json::from_str(&answer.text).unwrap())
}

#[test]
fn a_container_that_is_attached_here_is_looked_up_there_within_a_second() -> Outcome {
    let mut bed = settled(plan(701, 3))?;
    let address = bed.attach(0, "db")?;
    assert_eq!(lookup(&mut bed, 0, "db")?, [address.to_string()]);
    bed.run_for(secs(1))?;
    assert_eq!(lookup(&mut bed, 2, "db")?, [address.to_string()]);
    let body = serde_json::json!({ "id": "db" }).to_string();
    let answer = bed.api(0, Method::POST, "/detach", Content::Json(body))?;
    assert_eq!(answer.text, format!("[\"{address}/24\"]"));
    bed.run_for(secs(1))?;
    assert_eq!(lookup(&mut bed, 2, "db")?, [""; 0]);
    assert_eq!(bed.kernel(0).attached(), [container("c1")]);
    Ok(())
}

#[test]
fn a_host_that_is_cut_off_answers_its_clients_and_those_of_its_side() -> Outcome {
    let mut bed = settled(plan(702, 5))?;
    bed.partition(&[0, 1]);
    bed.run_for(SILENCE)?;
    let job = bed.start(1, async |inside| {
        inside.api(0, Method::GET, "/status/peers?format=json", Content::Nothing).await
    });
    let (answer, took) = bed.finish(&job, secs(1))?;
    let answer = answer.unwrap();
    assert!(answer.status == 200 && took <= millis(200), "{took:?}");
    let address = bed.attach(0, "here")?;
    bed.run_for(secs(1))?;
    assert_eq!(lookup(&mut bed, 1, "here")?, [address.to_string()]);
    assert_eq!(lookup(&mut bed, 4, "here")?, [""; 0]);
    bed.heal();
    bed.settle(secs(40))?;
    assert_eq!(lookup(&mut bed, 4, "here")?, [address.to_string()]);
    Ok(())
}

#[test]
fn an_attachment_that_the_kernel_refuses_leaves_neither_address_nor_name() -> Outcome {
    let mut bed = settled(plan(703, 3))?;
    bed.kernel(0).refuse(true);
    let answer = bed.ask(0, async |inside| inside.attach(container("x")).await)?;
    assert!(answer.as_ref().is_err_and(|why| why.starts_with("500:")), "{answer:?}");
    bed.kernel(0).refuse(false);
    let view = bed.view();
    assert_eq!(view.peers[0].noted, view.peers[0].held);
    assert_eq!(names_at(&view, 0), all_names(3));
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_container_that_died_is_given_up_within_10_s_even_on_a_host_that_is_cut_off() -> Outcome {
    let mut bed = settled(plan(704, 3))?;
    bed.partition(&[0]);
    bed.kernel(0).kill(&container("c1"));
    bed.until(secs(10), "it holds no address and no name", |view| {
        view.peers[0].noted.is_empty() && !names_at(view, 0).contains(&"c1".to_owned())
    })?;
    bed.heal();
    bed.settle(secs(40))?;
    assert_eq!(names_at(&bed.view(), 1), ["c2", "c3"]);
    Ok(())
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_an_attachment_leaves_it_whole() -> Outcome {
    let mut bed = settled(plan(705, 3))?;
    bed.kernel(0).slow(secs(2));
    let gone = bed.start(0, async |inside| {
        let attach = inside.attach(container("x"));
        tokio::time::timeout(millis(500), attach).await.is_err()
    });
    assert!(bed.finish(&gone, secs(1))?.0, "the client gave up");
    bed.until(secs(3), "it is attached and named", |view| {
        view.peers[0].held.contains_key(&container("x"))
            && names_at(view, 2).contains(&"x".to_owned())
    })?;
    bed.kernel(0).slow(Duration::ZERO);
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_request_that_never_ends_is_cut_off_after_10_s_and_delays_nobody() -> Outcome {
    let mut bed = settled(plan(706, 3))?;
    let slow = bed.start(1, async |inside| {
        let mut stream = inside.api_stream(0).await.unwrap();
        let head = b"POST /connect HTTP/1.1\r\nhost: weft\r\ncontent-length: 100\r\n\r\npeer=";
        stream.write_all(head).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    });
    for _ in 0..5 {
        let job = bed
            .start(2, async |inside| inside.api(0, Method::GET, "/status", Content::Nothing).await);
        assert!(bed.finish(&job, millis(200))?.0.is_ok());
        bed.run_for(secs(1))?;
    }
    let (answer, took) = bed.finish(&slow, secs(8))?;
    assert_eq!(answer, "HTTP/1.1 408");
    assert!(took <= secs(11), "{took:?}");
    Ok(())
}

#[test]
fn a_body_that_is_too_long_is_refused_and_changes_nothing() -> Outcome {
    let mut bed = settled(plan(707, 3))?;
    let targets = bed.status(0)?.targets.len();
    let body = "peer=n9&".repeat(20_000);
    let answer = bed.api(0, Method::POST, "/connect", Content::Form(body))?;
    assert_eq!(answer.status, 413);
    assert_eq!(bed.status(0)?.targets.len(), targets);
    Ok(())
}

#[test]
fn addresses_asked_for_over_the_api_on_all_hosts_at_once_are_all_different() -> Outcome {
    let mut bed = settled(plan(708, 5))?;
    let jobs: Vec<_> = (0..50)
        .map(|number| {
            let path = format!("/ip/x{number}");
            bed.start(number % 5, async move |inside| {
                inside.api(inside.host, Method::POST, &path, Content::Nothing).await
            })
        })
        .collect();
    let mut given = std::collections::BTreeSet::new();
    for job in jobs {
        let (answer, took) = bed.finish(&job, secs(3))?;
        let answer = answer.unwrap();
        assert!(answer.status == 200 && took <= secs(2), "{answer:?} after {took:?}");
        assert!(given.insert(answer.text.clone()), "{} was given twice", answer.text);
    }
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_stranger_who_sends_rubbish_to_the_control_port_disturbs_nobody() -> Outcome {
    let mut bed = settled(plan(709, 3))?;
    let before = bed.status(2)?.conns_ended;
    let rubbish = bed.start(1, async |inside| {
        let mut streams = Vec::new();
        for number in 0..40u32 {
            let to = ("n1", PORT);
            let Ok(mut stream) = turmoil::net::TcpStream::connect(to).await else { continue };
            let bytes: Vec<u8> = (0..200u32).flat_map(|n| (n * 7 + number).to_le_bytes()).collect();
            // Some say something, some fall silent in the middle, some nothing at all.
            let len = bytes.len() * (number as usize % 4) / 3;
            let _ = stream.write_all(&bytes[..len]).await;
            streams.push(stream);
        }
        tokio::time::sleep(secs(8)).await;
        (inside.host, streams.len())
    });
    bed.run_for(secs(2))?;
    let conns = bed.status(0)?.conns.len();
    assert!(conns <= 50, "{conns} conns");
    assert_eq!(bed.finish(&rubbish, secs(10))?.0, (1, 40));
    // Handshakes that came to nothing are over.
    assert_eq!(bed.status(0)?.conns.len(), 2);
    assert_eq!(bed.status(2)?.conns_ended, before);
    bed.settle(secs(10))?;
    Ok(())
}

#[test]
fn a_host_with_another_password_links_with_nobody_and_says_why() -> Outcome {
    let configure = |host, config: &mut weft_core::config::Config| {
        if host == 3 {
            config.secret = Some(weft_core::config::NetworkSecret::Password([8; 32]));
        }
    };
    let mut bed = Bed::new(Plan { configure, ..plan(710, 4) }).unwrap();
    bed.run_for(secs(20))?;
    let view = bed.view();
    assert!((0..3).all(|host| !linked(&view, 3, host) && !linked(&view, host, 3)));
    assert!((0..3).all(|a| (0..3).all(|b| a == b || linked(&view, a, b))));
    let answer = bed.api(3, Method::GET, "/status/connections", Content::Nothing)?;
    assert!(answer.text.contains("password"), "{}", answer.text);
    bed.allocate(0, "x")?.unwrap();
    assert!(bed.allocate(3, "x")?.is_err());
    Ok(())
}

#[test]
fn targets_added_over_the_api_join_two_meshes_that_knew_nothing_of_each_other() -> Outcome {
    let targets = |host: usize, _| if host == 1 { vec![0] } else { Vec::new() };
    let configure = |_, config: &mut weft_core::config::Config| {
        config.founding = weft_core::config::FoundingMode::Consensus { peers: Some(3) };
    };
    let mut bed = Bed::new(Plan { targets, configure, ..plan(711, 4) }).unwrap();
    bed.run_for(secs(3))?;
    for (host, target) in [(2, "n4"), (3, "n1")] {
        let form = Content::Form(format!("peer={target}"));
        assert_eq!(bed.api(host, Method::POST, "/connect", form)?.status, 200);
    }
    bed.until(secs(10), "every pair is linked", |view| {
        (0..4).all(|a| (0..4).all(|b| a == b || linked(view, a, b)))
    })?;
    bed.settle(secs(10))?;
    bed.attach(0, "db")?;
    Ok(())
}
