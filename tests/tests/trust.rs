//! Who may join: key files, a secret that changes while all goes on, and lists of peers.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use weft_tests::host::Host;
use weft_tests::lab::Lab;
use weft_tests::wait_until;

const PATIENCE: Duration = Duration::from_secs(10);

/// A key file that all hosts of a lab can read, as the argument of `--key-file`.
fn key(lab: &Lab, name: &str) -> Result<String> {
    let file = lab.dir().join(name).to_string_lossy().into_owned();
    ensure!(lab.host(1).weft(&["genkey", &file])?.ok()?.is_empty(), "genkey FILE prints nothing");
    Ok(file)
}

/// The line of `weft status` with this label.
fn told(host: &Host, label: &str) -> Result<Option<String>> {
    let status = host.weft(&["status"])?.ok()?;
    let line = status.lines().find_map(|line| line.trim().strip_prefix(&format!("{label}: ")));
    Ok(line.map(ToOwned::to_owned))
}

/// Waits until `host` says so in its log.
fn logs(host: &Host, words: &str) -> Result<()> {
    wait_until(&format!("the log says {words:?}"), PATIENCE, || host.log().contains(words))
        .with_context(|| host.log())
}

#[test]
fn a_key_is_drawn_for_its_owner_alone_and_never_overwritten() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let file = key(&lab, "key")?;
    let before = fs::read_to_string(&file)?;
    let digits = before.trim_end().strip_prefix("weft-key-1:").context("no key")?;
    ensure!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600);
    host.weft(&["genkey", &file])?.complains(1, &file, &["choose another file"])?;
    ensure!(fs::read_to_string(&file)? == before, "it was overwritten");
    let printed = host.weft(&["genkey"])?.ok()?;
    ensure!(printed.len() == before.trim_end().len() && printed != before.trim_end());
    // A file of another kind is named, whichever option it is given to.
    host.weft(&["launch", "--password-file", &file])?.complains(1, &file, &["--key-file"])?;
    fs::write(&file, "a password\n")?;
    host.weft(&["launch", "--key-file", &file])?.complains(1, &file, &["weft genkey"])?;
    lab.finish()
}

#[test]
fn peers_with_one_key_file_link_and_any_other_secret_is_named_at_both_ends() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let (file, other) = (key(&lab, "key")?, key(&lab, "other")?);
    one.launch(&["--key-file", &file])?;
    let first = one.address();
    for (secret, here, there) in [
        (
            &["--password", "secret"][..],
            "this peer has a password and the other one a key file",
            "this peer has a key file and the other one a password",
        ),
        (
            &[],
            "the other peer has a key file and this one has none: launch with --key-file",
            "this peer has a key file and the other one has none",
        ),
        (&["--key-file", &other], "wrong key", "wrong key"),
    ] {
        let args = [&["launch"], secret, &[&first]].concat();
        two.weft(&args)?.complains(1, here, &["launch"])?;
        logs(one, there)?;
    }
    two.launch(&["--key-file", &file, &first])?;
    two.wait_linked(1)?;
    let [from, to] = [lab.container()?, lab.container()?];
    one.attach(&from, &[])?;
    from.wait_pings(two.attach(&to, &[])?)?;
    lab.finish()
}

#[test]
fn three_hosts_change_from_a_password_to_a_key_without_a_lost_ping() -> Result<()> {
    let lab = Lab::full(3)?;
    let key = key(&lab, "key")?;
    let old = ["--password", "three threads"];
    let first = lab.host(1).address();
    lab.host(1).launch(&old)?;
    for host in &lab.hosts()[1..] {
        host.launch(&[&old[..], &[first.as_str()]].concat())?;
    }
    let mut members = Vec::new();
    for host in lab.hosts() {
        let container = lab.container()?;
        members.push((host.attach(&container, &[])?, container));
    }
    for host in lab.hosts() {
        host.wait_linked(2)?;
    }
    let mut pings = Vec::new();
    for (n, (_, from)) in members.iter().enumerate() {
        let to = members[(n + 1) % 3].0;
        from.wait_pings(to)?;
        let mut ping = from.command("ping");
        pings.push(lab.background(ping.args(["-n", "-i", "0.02", &to.to_string()]))?);
    }
    let before: Vec<String> = lab.hosts().iter().map(Host::log).collect();

    let add = ["secret", "add", "--key-file", &key];
    for (host, lacking) in lab.hosts().iter().zip([2, 1, 0]) {
        host.weft(&add)?.ok()?;
        let links = if lacking == 1 { "1 link".to_owned() } else { format!("{lacking} links") };
        let wanted = format!("2 ({links} on the old one)");
        wait_until(&format!("the status says {wanted}"), PATIENCE, || {
            told(host, "Secrets").is_ok_and(|line| line.as_ref() == Some(&wanted))
        })
        .with_context(|| host.log())?;
        if lacking > 0 {
            let done = host.weft(&["secret", "retire"])?;
            done.complains(1, "still run on the old secret", &["--force"])?;
        }
    }
    lab.host(1).weft(&add)?.complains(1, "in use already", &["choose another"])?;
    for host in lab.hosts() {
        wait_until("nobody needs the old secret", PATIENCE, || {
            host.weft(&["secret", "retire"]).is_ok_and(|done| done.code == 0)
        })?;
        ensure!(told(host, "Secrets")?.is_none(), "the old secret is not gone");
    }
    for ping in &mut pings {
        ping.signal("INT")?;
        ping.wait(PATIENCE)?;
        ensure!(ping.text().contains(" 0% packet loss"), "{}", ping.text());
    }
    for (host, before) in lab.hosts().iter().zip(before) {
        let since = host.log().split_off(before.len());
        ensure!(!since.contains("link down"), "{since}");
    }
    // Who has the old one alone is out; who has the new one is in.
    lab.host(3).weft(&["stop"])?.ok()?;
    let again = [&["launch"], &old[..], &[&first]].concat();
    lab.host(3).weft(&again)?.complains(1, "key file", &["launch"])?;
    lab.host(3).launch(&["--key-file", &key, &first])?;
    lab.host(3).wait_linked(2)?;
    lab.finish()
}

#[test]
fn a_host_launched_with_both_secrets_links_with_those_that_have_the_old_one() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--password", "old"])?;
    two.launch(&["--password", "new", "--old-password", "old", &one.address()])?;
    two.wait_linked(1)?;
    ensure!(told(two, "Secrets")?.as_deref() == Some("2 (1 link on the old one)"));
    let shown = two.weft(&["status", "connections"])?.ok()?;
    ensure!(shown.contains("encrypted (old secret)"), "{shown}");
    // Neither password is in a list of processes.
    for pid in two.daemon_pids() {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let environment = fs::read_to_string(format!("/proc/{pid}/environ"))?;
        let shows = |password| line.split('\0').any(|argument| argument.ends_with(password));
        ensure!(!shows("old") && !shows("new"), "{line}");
        ensure!(!environment.contains("PASSWORD"), "{environment}");
    }
    two.weft(&["secret", "retire", "--force"])?.ok()?;
    logs(one, "the secret of this link is no longer valid")?;
    lab.finish()
}

#[test]
fn a_peer_that_is_not_on_the_list_is_told_so_until_it_is() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let nobody = "00".repeat(32);
    one.launch(&["--password", "secret", "--allow-peers", &nobody])?;
    two.launch(&["--password", "secret"])?;
    ensure!(told(one, "AllowedPeers")?.as_deref() == Some("1"));
    let id = told(two, "Id")?.context("no id")?;
    let first = one.address();
    two.weft(&["connect", &first])?.ok()?;
    logs(one, &format!("the peer with the id {id} is not allowed here"))?;
    logs(two, "the other peer does not allow this one: add the id of this one")?;
    let verdict = two.weft(&["status"])?.ok()?;
    ensure!(verdict.starts_with("weft: DEGRADED"), "{verdict}");

    let list = lab.dir().join("peers");
    fs::write(&list, format!("# second\n{id} host2\n"))?;
    one.weft(&["allow", &list.to_string_lossy()])?.ok()?;
    two.weft(&["connect", &first])?.ok()?;
    one.wait_linked(1)?;
    two.wait_linked(1)?;

    one.weft(&["allow", &nobody])?.ok()?;
    wait_until("the link has ended", PATIENCE, || {
        let shown = one.weft(&["status", "connections"]).map(|done| done.stdout);
        shown.is_ok_and(|shown| !shown.contains(" established "))
    })?;
    one.weft(&["allow", "host2"])?.complains(1, "'host2'", &["64 hex digits"])?;
    one.weft(&["allow", "--all"])?.ok()?;
    two.weft(&["connect", &first])?.ok()?;
    one.wait_linked(1)?;
    lab.finish()
}
