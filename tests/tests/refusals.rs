//! What cannot work is refused in one line that names the culprit and a remedy, and nothing is
//! left behind.

use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;
use weft_tests::command::{Done, run, signal};
use weft_tests::host::Host;
use weft_tests::lab::{Lab, binary, ip};
use weft_tests::{holds_within, trace, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NO_DAEMON: i32 = 3;

/// Links, processes and run folder of a host; the log may stay, since it explains the failure.
fn state(host: &Host) -> Result<BTreeSet<String>> {
    let mut state: BTreeSet<_> = host.links()?.into_iter().collect();
    let own = host.run_dir.to_string_lossy().into_owned();
    state.extend(trace::processes(&own).into_iter().map(|(pid, line)| format!("{pid} {line}")));
    state.extend(trace::entries(&host.run_dir).into_iter().filter(|name| !name.ends_with(".log")));
    Ok(state)
}

/// Runs `weft ARGS` on `host` and checks the answer, and that all is as before.
fn refused(host: &Host, args: &[&str], code: i32, culprit: &str, remedy: &[&str]) -> Result<()> {
    refused_command(host, &mut host.weft_command(args)?, code, culprit, remedy)
}

fn refused_command(
    host: &Host,
    command: &mut Command,
    code: i32,
    culprit: &str,
    remedy: &[&str],
) -> Result<()> {
    let before = state(host)?;
    run(command, PATIENCE)?.complains(code, culprit, remedy)?;
    let mut after = BTreeSet::new();
    let undone = holds_within(Duration::from_secs(2), || {
        after = state(host).unwrap_or_default();
        after == before
    });
    ensure!(undone, "was {before:?}, is {after:?}");
    Ok(())
}

#[test]
fn a_peer_that_cannot_be_found_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    refused(host, &["launch", "bad_host!"], USAGE, "bad_host!", &["expected"])?;
    refused(host, &["launch", "10.0.0.1:99999"], USAGE, "10.0.0.1:99999", &["expected"])?;
    let unknown = "no-such-host.invalid";
    refused(host, &["launch", unknown], FAILED, unknown, &["check the name"])?;
    // An address may be silent only because its host starts later than we do: it is tried again.
    let done = host.weft(&["launch", "127.0.0.77:6784"])?;
    done.complains(0, "127.0.0.77:6784", &["keeps trying"])?;
    lab.finish()
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let mut hold = host.command(binary("probe")?);
    let held = lab.background(hold.args(["hold", "0.0.0.0:6783"]))?;
    held.wait_for("ready", PATIENCE)?;
    refused(host, &["launch"], FAILED, "6783", &["--port"])?;
    host.launch(&["--port", "6790"])?;
    drop(held);
    lab.finish()
}

#[test]
fn a_wrong_password_is_named() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--password", "right"])?;
    let first = one.address();
    for password in [&["--password", "wrong"][..], &[]] {
        let args = [&["launch"], password, &[&first]].concat();
        refused(two, &args, FAILED, &first, &["password"])?;
    }
    two.launch(&["--password", "right", &first])?;
    two.wait_linked(1)?;
    lab.finish()
}

#[test]
fn a_range_that_overlaps_a_route_of_the_host_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    // Any link will do; a bridge is one that every kernel we run on has.
    ip(&format!("-n {} link add other0 type bridge", host.namespace))?;
    ip(&format!("-n {} link set other0 up", host.namespace))?;
    ip(&format!("-n {} route add 10.33.0.0/16 dev other0", host.namespace))?;
    refused(host, &["launch"], FAILED, "10.33.0.0/16", &["--ipalloc-range"])?;
    let range = ["launch", "--ipalloc-range", "10.33.4.0/24"];
    refused(host, &range, FAILED, "10.33.0.0/16", &["--ipalloc-range"])?;
    host.launch(&["--ipalloc-range", "10.99.0.0/16"])?;
    lab.finish()
}

#[test]
fn a_range_that_is_too_small_or_malformed_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    for (range, remedy) in [
        ("10.32.0.0/31", "/30"),
        ("10.32.0.1/24", "did you mean"),
        ("10.32.0.0", "expected"),
        ("loom", "expected"),
        ("127.0.0.0/16", "choose another"),
        ("224.0.0.0/8", "choose another"),
        ("0.0.0.0/8", "choose another"),
        ("255.255.0.0/16", "choose another"),
        ("ff02::/64", "choose another"),
    ] {
        refused(lab.host(1), &["launch", "--ipalloc-range", range], USAGE, range, &[remedy])?;
    }
    lab.finish()
}

#[test]
fn without_root_the_missing_right_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    // A copy, since nobody may look into the folder where it was built.
    let weft = lab.dir().join("weft");
    fs::copy(binary("weft")?, &weft)?;
    let mut command = host.command("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(weft);
    refused_command(host, command.arg("launch"), FAILED, "root", &["sudo", "as root", "run"])?;
    lab.finish()
}

#[test]
fn a_bad_nickname_bridge_or_password_file_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let long = "n".repeat(64);
    refused(host, &["launch", "--nickname", &long], USAGE, "--nickname", &["expected 1 to 63"])?;
    refused(host, &["launch", "--nickname", ""], USAGE, "--nickname", &["expected 1 to 63"])?;
    for bridge in ["a-very-long-bridge", "a/b", ""] {
        refused(host, &["launch", "--bridge", bridge], USAGE, "--bridge", &["expected 1 to 11"])?;
    }
    let file = lab.dir().join("password");
    let path = file.to_string_lossy().into_owned();
    let launch = ["launch", "--password-file", &path];
    refused(host, &launch, FAILED, &path, &["expected a text file"])?;
    fs::write(&file, "p".repeat(4097))?;
    refused(host, &launch, FAILED, &path, &["expected a text file"])?;
    let long = "p".repeat(4097);
    refused(host, &["launch", "--password", &long], USAGE, "4097 bytes", &["at most 4096"])?;
    lab.finish()
}

#[test]
fn options_that_no_daemon_could_work_with_are_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    for name in ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"] {
        refused(host, &["launch", "--name", name], USAGE, name, &["expected"])?;
    }
    let subnet = ["launch", "--ipalloc-default-subnet", "10.99.0.0/16"];
    refused(host, &subnet, USAGE, "10.99.0.0/16", &["--ipalloc-range"])?;
    refused(host, &["launch", "--conn-limit", "0"], USAGE, "--conn-limit", &["1.."])?;
    refused(host, &["launch", "--log-level", "nonsense"], USAGE, "nonsense", &["expected"])?;
    let folder = lab.dir().join("r".repeat(100));
    let long = folder.to_string_lossy();
    let done = host.weft(&["launch", "--run-dir", &long])?;
    done.complains(FAILED, &long, &["--run-dir"])?;
    lab.finish()
}

#[test]
fn a_recording_is_not_put_in_place_of_anything_else() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let file = lab.dir().join("precious");
    fs::write(&file, "do not lose")?;
    for path in [file.as_path(), lab.dir()] {
        let path = path.to_string_lossy();
        refused(host, &["launch", "--record", &path], FAILED, &path, &["--record"])?;
    }
    ensure!(fs::read_to_string(&file)? == "do not lose");
    ensure!(!lab.dir().join("precious.old").exists() && !lab.dir().join("precious.key").exists());
    lab.finish()
}

#[test]
fn a_reset_that_would_strand_addresses_is_refused() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    one.weft(&["run", "--", "true"])?.ok()?;
    refused(one, &["reset"], FAILED, "1048576 addresses", &["reset --force"])?;
    two.launch(&[&one.address()])?;
    one.wait_linked(1)?;
    one.weft(&["reset"])?.ok()?;
    ensure!(!one.is_running() && !one.state_dir.exists());
    two.weft(&["run", "--", "true"])?.ok()?;
    lab.finish()
}

#[test]
fn a_reset_is_refused_until_the_heir_has_said_that_it_has_the_addresses() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    one.weft(&["run", "--", "true"])?.ok()?;
    two.launch(&[&one.address()])?;
    one.wait_linked(1)?;
    // As if it had died: nobody notices within the next seconds.
    let heir = two.daemon_pid()?;
    signal(heir, "STOP")?;
    one.weft(&["reset"])?.complains(FAILED, "has not said", &["weft reset", "weft help rmpeer"])?;
    ensure!(one.is_running() && one.state_dir.exists());
    signal(heir, "CONT")?;
    one.weft(&["reset"])?.ok()?;
    ensure!(!one.is_running() && !one.state_dir.exists());
    two.weft(&["run", "--", "true"])?.ok()?;
    lab.finish()
}

#[test]
fn a_refusal_names_a_peer_as_the_status_does_and_what_it_says_can_be_given_back() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    let name = "02:00:00:00:00:0b";
    two.launch(&["--name", name, "--nickname", "second", &one.address()])?;
    one.wait_linked(1)?;
    let label = format!("{name}(second)");
    let owned_by = |owner: &str| {
        let owners = one.weft(&["status", "ipam"]).map(|done| done.stdout).unwrap_or_default();
        owners.lines().any(|line| line.starts_with(&label) && line.contains(owner))
    };
    let container = lab.container()?;
    let theirs = two.attach(&container, &[])?.to_string();
    two.weft(&["detach", &container.namespace])?.ok()?;
    wait_until("the second owns a part", PATIENCE, || owned_by("IPs"))?;
    for called in ["second", name, &label] {
        refused(one, &["rmpeer", called], FAILED, &format!("peer {label}"), &["weft reset"])?;
    }
    refused(one, &["rmpeer", "third"], FAILED, "no peer is called", &["weft status peers"])?;
    for blank in ["", " "] {
        refused(one, &["rmpeer", blank], USAGE, &format!("'{blank}'"), &["weft status ipam"])?;
    }
    two.kill_daemon()?;
    wait_until("the second is missed", PATIENCE, || owned_by("unreachable!"))?;
    // What the first run makes for all, such as the address of the name server, may stay.
    one.weft(&["run", "--", "true"])?.ok()?;
    let claim = ["run", "--ip", &theirs, "--", "true"];
    refused(one, &claim, FAILED, &format!("peer {label}"), &["start that peer"])?;
    one.weft(&["ipam", "reclaim", "--dry-run", &label])?.ok()?;
    one.weft(&["rmpeer", &label])?.ok()?;
    one.weft(&claim)?.ok()?;
    lab.finish()
}

#[test]
fn of_peers_that_are_called_the_same_the_ids_are_named() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&["--nickname", "twin"])?;
    two.launch(&["--nickname", "twin", &one.address()])?;
    one.wait_linked(1)?;
    let shown = two.weft(&["status"])?.ok()?;
    let id = shown.lines().find_map(|line| line.trim().strip_prefix("Id: "));
    let id = id.context("no id in the status")?;
    let culprit = "2 peers are called twin";
    refused(one, &["rmpeer", "twin"], FAILED, culprit, &[&format!("{id} is ")])?;
    refused(one, &["rmpeer", id], FAILED, "(twin) can be reached", &["weft reset"])?;
    lab.finish()
}

#[test]
fn a_target_that_is_not_there_is_not_forgotten() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    refused(host, &["forget", "192.168.50.9"], FAILED, "192.168.50.9", &["weft status targets"])?;
    lab.finish()
}

#[test]
fn a_host_name_that_is_no_nickname_is_made_one() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    for (name, nickname) in [("h".repeat(64), "h".repeat(63)), (String::new(), "weft".to_owned())] {
        let script = "echo \"$1\" >/proc/sys/kernel/hostname && exec \"$0\" launch";
        let mut command = host.command("unshare");
        command.args(["--uts", "sh", "-c", script]).arg(binary("weft")?).arg(name);
        run(&mut command, PATIENCE)?.ok()?;
        let shown = host.weft(&["status"])?.ok()?;
        ensure!(shown.contains(&format!("({nickname})")), "{shown}");
        host.weft(&["stop"])?.ok()?;
    }
    lab.finish()
}

#[test]
fn a_kernel_without_tap_devices_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let mut command = host.command("unshare");
    let script = "mount -t tmpfs none /dev/net && exec \"$0\" launch";
    command.args(["--mount", "sh", "-c", script]).arg(binary("weft")?);
    refused_command(host, &mut command, FAILED, "/dev/net/tun", &["modprobe", "load", "mknod"])?;
    lab.finish()
}

#[test]
fn a_peer_name_that_is_taken_is_named() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    let name = one.launch(&["--nickname", "first"])?;
    let args = ["launch", "--name", &name, "--nickname", "second", &one.address()];
    refused(two, &args, FAILED, &name, &["--name", "reset"])?;
    refused(two, &args, FAILED, "taken by peer first", &["--name"])?;
    two.launch(&[&one.address()])?;
    two.wait_linked(1)?;
    lab.finish()
}

#[test]
fn an_address_that_is_taken_or_impossible_is_named() -> Result<()> {
    let lab = Lab::two()?;
    let [one, two] = [lab.host(1), lab.host(2)];
    one.launch(&[])?;
    two.launch(&[&one.address()])?;
    two.wait_linked(1)?;
    let container = lab.container()?;
    let taken = one.attach(&container, &[])?.to_string();
    for host in [one, two] {
        // What the first run makes for all, such as the address of the name server, may stay.
        host.weft(&["run", "--", "true"])?.ok()?;
        let remedy = ["another", "choose", "weft ps", "detach"];
        for wanted in [format!("{taken}/12"), taken.clone()] {
            refused(host, &["run", "--ip", &wanted, "--", "true"], FAILED, &taken, &remedy)?;
        }
    }
    let remedy = ["10.32.0.0/12"];
    for (wanted, culprit) in [
        ("net:10.99.0.0/24", "10.99.0.0/24"),
        ("net:10.0.0.0/8", "10.0.0.0/8"),
        ("10.99.0.1", "10.99.0.1"),
        ("10.99.0.1/24", "10.99.0.1/24"),
    ] {
        refused(one, &["run", "--ip", wanted, "--", "true"], FAILED, culprit, &remedy)?;
    }
    refused(one, &["run", "--ip", "loom", "--", "true"], USAGE, "loom", &["expected"])?;
    lab.finish()
}

#[test]
fn a_namespace_that_is_not_there_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    let mut ended = Command::new("true").spawn()?;
    let pid = ended.id().to_string();
    ended.wait()?;
    let kept = fs::read(host.state_dir.join("weft.redb"))?;
    refused(host, &["attach", &pid], FAILED, &pid, &["running", "process", "check"])?;
    ensure!(fs::read(host.state_dir.join("weft.redb"))? == kept, "something was allocated for it");
    let shown = host.weft(&["status", "ipam"])?.ok()?;
    ensure!(shown.contains("not divided yet") && shown.contains("`weft prime`"), "{shown}");
    host.weft(&["run", "--", "true"])?.ok()?;
    // The address of the name server.
    let held = host.weft(&["ps"])?.ok()?;
    // More than any process id can be.
    let number = (4_194_304 + std::process::id()).to_string();
    ip(&format!("netns add {number}"))?;
    let hinted = format!("netns:{number}");
    let refused_by_number = refused(host, &["attach", &number], FAILED, &number, &[&hinted]);
    let attached = host.weft(&["attach", &hinted]).and_then(Done::ok);
    let detached = host.weft(&["detach", &hinted]).and_then(Done::ok);
    ip(&format!("netns delete {number}"))?;
    refused_by_number.and(attached).and(detached)?;
    refused(host, &["attach", "no-such-netns"], FAILED, "no-such-netns", &["ip netns", "check"])?;
    for nothing in ["", "."] {
        let culprit = format!("'{nothing}'");
        refused(host, &["attach", nothing], USAGE, &culprit, &["give a process id"])?;
    }
    refused(host, &["detach", "no-such-netns"], FAILED, "no-such-netns", &["weft ps"])?;
    ensure!(host.weft(&["ps"])?.ok()? == held, "a failed attach holds an address");
    lab.finish()
}

#[test]
fn a_container_or_an_exposed_address_that_is_not_there_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    host.weft(&["hide"])?.ok()?;
    refused(host, &["hide", "10.99.0.1"], FAILED, "10.99.0.1", &["weft ps"])?;
    host.weft(&["expose", "-h", "host"])?.ok()?;
    refused(host, &["hide", "10.99.0.1"], FAILED, "10.99.0.1", &["weft ps"])?;
    let done = host.weft(&["ps", "weft:expose", "nosuch"])?;
    done.complains(FAILED, "nosuch", &["weft ps"])?;
    ensure!(done.stdout.starts_with("weft:expose "), "{done}");
    ensure!(host.knows("host"));
    host.weft(&["hide"])?.ok()?;
    ensure!(!host.knows("host"), "a name stays");
    lab.finish()
}

#[test]
fn a_name_that_no_host_can_have_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    for name in ["-x", "x-", "a b", "a..b"] {
        let run = ["run", &format!("--name={name}"), "--", "true"];
        refused(host, &run, USAGE, name, &["neither first nor last"])?;
    }
    for nothing in ["", ".", ".."] {
        let culprit = format!("'{nothing}' is no host name");
        refused(host, &["expose", "-h", nothing], USAGE, &culprit, &["expected labels"])?;
    }
    lab.finish()
}

#[test]
fn a_state_file_that_was_emptied_is_not_taken_for_a_first_start() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    host.weft(&["stop"])?.ok()?;
    let file = host.state_dir.join("weft.redb");
    fs::write(&file, "")?;
    for args in [&["launch"][..], &["id"]] {
        let path = file.to_string_lossy();
        refused(host, args, FAILED, &format!("{path} is damaged"), &["weft reset --force"])?;
        ensure!(fs::metadata(&file)?.len() == 0, "it is left as it is");
    }
    host.weft(&["reset", "--force"])?.ok()?;
    host.launch(&[])?;
    lab.finish()
}

#[test]
fn a_second_launch_is_refused_and_the_first_goes_on() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    host.launch(&[])?;
    refused(host, &["launch"], FAILED, "already running", &["weft stop"])?;
    host.weft(&["status"])?.ok()?;
    lab.finish()
}

#[test]
fn without_a_daemon_every_command_says_how_to_start_one() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let container = lab.container()?;
    for args in [
        &["status"][..],
        &["report"],
        &["ps"],
        &["stop"],
        &["attach", &container.namespace],
        &["detach", &container.namespace],
        &["expose"],
        &["hide"],
        &["connect", "192.168.50.2"],
        &["forget", "192.168.50.2"],
        &["dns-lookup", "db"],
        &["run", "--", "true"],
    ] {
        refused(host, args, NO_DAEMON, "not running", &["weft launch"])?;
    }
    lab.finish()
}

#[test]
fn a_reset_where_there_is_nothing_says_so() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    let nothing = |args: &[&str]| {
        Ok::<bool, anyhow::Error>(host.weft(args)?.ok()?.contains("nothing to reset"))
    };
    ensure!(nothing(&["reset"])? && nothing(&["reset", "--force"])?);
    // An id alone is something: it is gone afterwards.
    host.weft(&["id"])?.ok()?;
    ensure!(!nothing(&["reset", "--force"])?);
    host.launch(&[])?;
    host.kill_daemon()?;
    fs::remove_dir_all(&host.state_dir)?;
    ensure!(!nothing(&["reset"])?, "its bridge was there");
    ensure!(nothing(&["reset"])?);
    lab.finish()
}

#[test]
fn a_daemon_that_was_killed_is_told_from_one_that_was_never_launched() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    refused(host, &["status"], NO_DAEMON, "no socket", &["weft launch"])?;
    host.launch(&[])?;
    host.kill_daemon()?;
    refused(host, &["status"], NO_DAEMON, "nobody listens", &["weft launch"])?;
    host.launch(&[])?;
    lab.finish()
}

#[test]
fn wrong_usage_is_named() -> Result<()> {
    let lab = Lab::full(1)?;
    let host = lab.host(1);
    refused(host, &["weave"], USAGE, "weave", &["weft help"])?;
    refused(host, &["launch", "--porto", "1"], USAGE, "--porto", &["--port"])?;
    refused(host, &["attach"], USAGE, "namespace", &["weft help attach"])?;
    lab.finish()
}

#[test]
fn an_answer_that_is_silent_vague_or_chatty_is_noticed() {
    let done = |code, stderr: &str| Done {
        line: String::new(),
        code,
        stdout: String::new(),
        stderr: stderr.to_owned(),
        took: Duration::ZERO,
    };
    let good = "weft: port 6783 is in use: choose another with --port";
    assert!(done(1, good).complains(1, "6783", &["--port"]).is_ok());
    assert!(done(0, good).complains(1, "6783", &["--port"]).is_err());
    for bad in ["", "weft: port 6783 is in use", "weft: use --port", "port 6783: use --port"] {
        assert!(done(1, bad).complains(1, "6783", &["--port"]).is_err(), "{bad:?} was accepted");
    }
    assert!(done(1, &format!("{good}\nmore")).complains(1, "6783", &["--port"]).is_err());
}
