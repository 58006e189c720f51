//! A small run that nobody ran, and what becomes of it.

use super::*;
use crate::net::{Carrier, MessageId, NOBODY, STRANGER};
use std::collections::BTreeSet;
use std::time::Duration;

const fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn entry(millis: u64, host: Option<usize>, what: What) -> Entry {
    Entry { at: at(millis), host: host.map(Peer), what, summary: None }
}

fn event(millis: u64, host: usize, part: &'static str, text: &str, summary: [usize; 5]) -> Entry {
    let [conns, links, peers, held, names] = summary;
    let summary = Some(Summary { conns, links, peers, held, names });
    let what = What::Event { part: Cow::Borrowed(part), text: text.to_owned() };
    Entry { at: at(millis), host: Some(Peer(host)), what, summary }
}

/// Two hosts; a partition; one of them crashes; a rule breaks.
fn sample() -> Recording {
    let message = |id, from, to, carrier| Message {
        id: MessageId(id),
        from: Peer(from),
        to: Peer(to),
        carrier,
    };
    let (dial, probe) = (message(1, 1, 0, Carrier::Dial), message(2, 0, 1, Carrier::Datagram));
    let blocked = vec![(Peer(0), Peer(1)), (Peer(1), Peer(0))];
    let text = |text: &str| text.to_owned();
    let entries = vec![
        entry(0, Some(0), What::Start { boot: 1 }),
        entry(20, Some(1), What::Start { boot: 1 }),
        entry(20, Some(1), What::Ask { request: 0, text: text("connect to n1") }),
        entry(20, Some(1), What::Sent { message: dial, len: 0, gist: text("dial") }),
        entry(21, Some(0), What::Arrived { message: dial }),
        event(22, 1, "conn", "conn ->0 with n1 is up", [1, 0, 0, 0, 0]),
        event(30, 0, "ipam", "allocated 10.32.0.1/24 to </script><b>&", [1, 1, 1, 12, 0]),
        entry(1_000, None, What::Fault { text: text("partition n1 | rest") }),
        entry(1_000, None, What::Ways { blocked }),
        entry(1_500, Some(0), What::Sent { message: probe, len: 31, gist: text("probe") }),
        entry(1_501, Some(1), What::Lost { message: probe, why: Cow::Borrowed("the way is cut") }),
        entry(2_000, Some(1), What::Crash { power: true }),
        entry(2_500, None, What::Heal { text: text("all cuts") }),
        entry(2_500, None, What::Ways { blocked: Vec::new() }),
        entry(3_000, Some(1), What::Start { boot: 2 }),
        entry(
            12_345,
            None,
            What::Broken { rule: text("ipam.one-holder"), detail: text("10.32.0.1 held twice") },
        ),
    ];
    let (digest, simulated) = (Digest::EMPTY, Duration::from_millis(12_345));
    Recording { head: Head::new(text("made up"), 1, 2, digest, simulated), entries }
}

fn shown(filter: &Filter) -> String {
    show(&sample(), filter, Paint::Plain)
}

fn times(filter: &Filter) -> Vec<String> {
    let time = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    shown(filter).lines().skip(1).map(time).collect()
}

#[test]
fn a_run_is_shown_as_one_line_per_state_change() {
    let golden = "      time  n1 n2  part   what                                                             conn link peer held name
    0.000s  n1     sim    start
    0.020s  |  n2  sim    start
    0.020s  |  n2  ask    0: connect to n1
    0.022s  |  n2  conn   conn ->0 with n1 is up                                              1    0    0    0    0
    0.030s  n1 |   ipam   allocated 10.32.0.1/24 to </script><b>&                             1    1    1   12    0
    1.000s  |  |   FAULT  partition n1 | rest
    2.000s  |  n2  FAULT  crash, power lost
    2.500s  |      HEAL   all cuts
    3.000s  |  n2  sim    start, the 2nd
   12.345s  |  |   BROKEN ipam.one-holder: 10.32.0.1 held twice
";
    assert_eq!(shown(&Filter::default()), golden);
}

#[test]
fn messages_are_shown_to_those_who_ask() {
    let text = shown(&Filter { messages: true, ..Filter::default() });
    for line in [
        "    0.020s  |  n2  sent   #1 n2 -> n1 dial 0 B dial\n",
        "    0.021s  n1 |   got    #1 n2 -> n1 dial\n",
        "    1.501s  |  n2  lost   #2 n1 -> n2 datagram: the way is cut\n",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn a_filter_lets_through_only_what_was_asked_for() {
    let hosts = Filter { hosts: BTreeSet::from([Peer(0)]), ..Filter::default() };
    assert_eq!(times(&hosts), ["0.000s", "0.030s", "1.000s", "2.500s", "12.345s"]);
    let parts = BTreeSet::from(["fault".to_owned(), "ipam".to_owned()]);
    assert_eq!(times(&Filter { parts, ..Filter::default() }), ["0.030s", "1.000s", "2.000s"]);
    let span = Filter { from: Some(at(2_000)), to: Some(at(2_500)), ..Filter::default() };
    assert_eq!(times(&span), ["2.000s", "2.500s"]);
    let text = Filter { text: Some("ALLOCATED".to_owned()), ..Filter::default() };
    assert_eq!(times(&text), ["0.030s"]);
}

#[test]
fn lines_of_a_crowd_are_no_longer_than_those_of_a_few() {
    let (mut few, mut crowd) = (Columns::new(9), Columns::new(10_000));
    assert_eq!(few.head().find("part"), Some(40));
    assert_eq!(crowd.head().find("part"), Some(20));
    let event = event(30, 8, "mesh", "n1 is in reach", [1, 1, 1, 1, 0]);
    let line = crowd.line(&event, Paint::Plain);
    assert!(line.starts_with("    0.030s  n9      mesh   n1 is in reach"), "{line}");
    assert!(line.len() < few.line(&event, Paint::Plain).len());
}

#[test]
fn only_a_terminal_gets_colours_and_a_long_text_is_cut() {
    let mut run = sample();
    run.entries = vec![event(0, 0, "dns", &"ä\x1b".repeat(60), [0; 5])];
    let plain = show(&run, &Filter::default(), Paint::Plain);
    assert!(!plain.contains('\x1b'), "{plain}");
    assert!(plain.contains("ä ä…"), "{plain}");
    let widths: Vec<usize> = plain.lines().map(|line| line.chars().count()).collect();
    assert_eq!(widths, [widths[0]; 2]);
    assert!(show(&run, &Filter::default(), Paint::Colour).contains("\x1b[35mdns"));
}

#[test]
fn a_recording_reads_back_as_it_was_written() {
    let lines = sample().to_lines().unwrap();
    assert_eq!(lines.lines().count(), 1 + sample().entries.len());
    assert_eq!(Recording::from_lines(&lines), Ok(sample()));
}

#[test]
fn what_is_no_recording_is_refused_by_line() {
    let lines = sample().to_lines().unwrap();
    let error = |text: &str| Recording::from_lines(text).unwrap_err().to_string();
    assert_eq!(error(""), "the recording is empty");
    assert!(error("{}").starts_with("line 1 of the recording: missing field"), "{}", error("{}"));
    let torn = &lines[..lines.len() - 20];
    assert!(error(torn).starts_with("line 17 of the recording: "), "{}", error(torn));
    let other = lines.replacen("\"recording\":1", "\"recording\":2", 1);
    assert!(error(&other).contains("form 2"), "{}", error(&other));
    let crowd = lines.replacen("\"hosts\":", "\"hosts\":9999999", 1);
    assert!(error(&crowd).contains("10000 at most"), "{}", error(&crowd));
}

#[test]
fn the_page_has_every_state_change_and_escapes_it() {
    let run = sample();
    let page = html(&run).unwrap();
    for text in [
        "connect to n1",
        "conn ->0 with n1 is up",
        "allocated 10.32.0.1/24 to \\u003c/script>\\u003cb>&",
        "partition n1 | rest",
        "crash, power lost",
        "all cuts",
        "start, the 2nd",
        "10.32.0.1 held twice",
        "the way is cut",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    assert!(!page.contains("</script><b>"), "the data ends its own element");
    // Of the data and of the script.
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("@@"), "a gap of the page is left open");
    assert!(!page.contains("http:") && !page.contains("https:"), "the page needs the network");
    let mut named = run;
    named.head.title = "<i>&@@data@@".to_owned();
    assert!(html(&named).unwrap().contains("<h1>&lt;i&gt;&amp;@@data@@</h1>"));
}

/// What the page is told, by name.
fn told(page: &str) -> serde_json::Value {
    let begin = "id=\"data\">";
    let from = page.find(begin).unwrap() + begin.len();
    let text = &page[from..];
    serde_json::from_str(&text[..text.find("</script>").unwrap()]).unwrap()
}

#[test]
fn the_page_is_told_who_ran_when_and_what_was_cut() {
    let told = told(&html(&sample()).unwrap());
    assert_eq!(
        told["lives"][1],
        serde_json::json!([
            { "from": 20_000, "to": 2_000_000, "end": "power" },
            { "from": 3_000_000, "to": 12_345_000, "end": "" },
        ])
    );
    assert_eq!(
        told["ways"],
        serde_json::json!([
            { "from": 1_000_000, "to": 2_500_000, "islands": [0, 1], "cuts": [] },
        ])
    );
    assert_eq!(told["messages"][0], serde_json::json!([20_000, 21_000, 1, 0, 0, 0, 0, -1, 0]));
    assert_eq!(
        told["messages"][1],
        serde_json::json!([1_500_000, 1_501_000, 0, 1, 3, 31, 1, 2, 1])
    );
    assert_eq!(told["words"], serde_json::json!(["dial", "probe", "the way is cut"]));
    assert_eq!(told["broken"]["rule"], "ipam.one-holder");
}

#[test]
fn what_a_stranger_sends_comes_from_behind_the_last_host_and_what_nobody_gets_is_not_drawn() {
    let sent = |id, from, to| {
        let (from, to) = (Peer(from), Peer(to));
        let message = Message { id: MessageId(id), from, to, carrier: Carrier::Dial };
        entry(4_000, Some(from.0), What::Sent { message, len: 0, gist: "dial".to_owned() })
    };
    let mut run = sample();
    run.entries.insert(15, sent(3, STRANGER, 1));
    run.entries.insert(16, sent(4, 0, NOBODY));
    let messages = told(&html(&run).unwrap());
    let messages = messages["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 3);
    assert_eq!((&messages[2][2], &messages[2][3]), (&2.into(), &1.into()));
    let text = show(&run, &Filter { messages: true, ..Filter::default() }, Paint::Plain);
    assert!(text.contains("#3 stranger -> n2 dial"), "{text}");
    assert!(text.contains("#4 n1 -> nobody dial"), "{text}");
    assert_eq!(Recording::from_lines(&run.to_lines().unwrap()), Ok(run));
}

#[test]
fn two_runs_part_in_the_first_line_that_differs() {
    let (a, mut b) = (sample(), sample());
    assert!(diff(&a, &b, 2).contains("the runs are the same: 16 entries"));
    b.entries[6] = event(31, 0, "ipam", "allocated 10.32.0.2/24 to c1", [1, 1, 1, 12, 0]);
    let text = diff(&a, &b, 1);
    let signs: Vec<&str> = text.lines().filter_map(|line| line.get(..21)).collect();
    assert!(text.contains("they part in entry 7, at 0.030s"), "{text}");
    assert_eq!(
        signs[signs.len() - 5..],
        [
            "      0.022s  |  n2  ",
            "-     0.030s  n1 |   ",
            "-     1.000s  |  |   ",
            "+     0.031s  n1 |   ",
            "+     1.000s  |  |   ",
        ]
    );
}

#[test]
fn runs_that_part_in_a_message_are_compared_by_their_state_changes_too() {
    let (a, mut b) = (sample(), sample());
    b.entries.remove(3);
    b.entries.truncate(9);
    let text = diff(&a, &b, 1);
    assert!(text.contains("they part in entry 4, at 0.020s"), "{text}");
    assert!(text.contains("they part in state change 7, at 2.000s"), "{text}");
    assert!(text.contains("+ the run is over"), "{text}");
}

#[test]
fn one_different_input_makes_another_digest() {
    let written = Input::Written { conn: weft_core::io::ConnId::dialed(0) };
    let digest = |input: &Input| {
        let mut trace = Trace::new(1, Universe::DEFAULT, false);
        trace.input(Instant::ZERO, 0, input);
        trace.digest()
    };
    assert_eq!(digest(&Input::Timeout), digest(&Input::Timeout));
    assert_ne!(digest(&Input::Timeout), digest(&written));
}

#[test]
fn a_digest_reads_back_as_it_is_written() {
    let mut digest = Digest::EMPTY;
    digest.take(b"something");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    for text in ["", "12", "+123456789abcdef", "g123456789abcdef"] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

#[test]
fn the_last_lines_know_who_ran_before_the_first_of_them() {
    let mut trace = Trace::new(2, Universe::DEFAULT, false);
    trace.tell(Instant::ZERO, Some(Peer(1)), What::Start { boot: 1 }, None);
    for at in 0..1000 {
        let what = What::note("net", format!("note {at}"));
        trace.tell(Instant::from_nanos(at), None, what, None);
    }
    let lines = trace.last(2);
    assert_eq!(trace.into_entries().len(), KEPT);
    let columns: Vec<&str> = lines.iter().map(|line| line.get(12..17).unwrap_or("")).collect();
    assert_eq!(columns, ["n1 n2", "   | ", "   | "]);
}

#[test]
fn two_runs_with_the_same_inputs_and_other_outputs_have_other_digests() {
    use weft_core::forward::Routes;
    use weft_core::io::{ConnId, Reply, RequestId, Target};
    use weft_core::saved::{Change, Slot};
    use weft_core::sleeve::SessionIndex;

    let digest = |outputs: &[(usize, Output)]| {
        let mut trace = Trace::new(2, Universe::DEFAULT, false);
        trace.input(at(1), 0, &Input::Timeout);
        outputs.iter().for_each(|(host, output)| trace.output(*host, output));
        trace.digest()
    };
    let conn = ConnId::dialed(1);
    let to = "192.0.2.1:1".parse().unwrap();
    let down = |session| ForwardingChange::SessionDown { session: SessionIndex(session) };
    let all = [
        Output::Dial { conn, target: Target { host: "n1".to_owned(), port: 1 } },
        Output::Write { conn, bytes: vec![1] },
        Output::Write { conn, bytes: vec![2] },
        Output::Close { conn },
        Output::Datagram { to, bytes: vec![1] },
        Output::Persist(vec![Change::put(Slot::Incarnation, &1_u8)]),
        Output::Forwarding(down(1)),
        Output::Forwarding(down(2)),
        Output::Forwarding(ForwardingChange::Routes(Routes::default())),
        Output::Reply { request: RequestId(1), result: Ok(Reply::Done) },
    ];
    let mut digests: Vec<Digest> = all.iter().map(|one| digest(&[(0, one.clone())])).collect();
    digests.push(digest(&[]));
    digests.push(digest(&[(1, all[3].clone())]));
    digests.push(digest(&[(0, all[2].clone()), (0, all[1].clone())]));
    digests.push(digest(&[(0, all[1].clone()), (0, all[2].clone())]));
    let count = digests.len();
    assert_eq!(digests.into_iter().collect::<BTreeSet<_>>().len(), count);
}
