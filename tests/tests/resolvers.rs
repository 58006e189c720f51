//! Names are answered to the clients that people have: what they ask with, each in its own ways.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use weft_tests::command::{Done, run};
use weft_tests::lab::{Container, Lab};

const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses of `many.weft.local`: more than 512 bytes hold, and fewer than 1232 do.
const MANY: u8 = 60;

/// A host that answers some names, whose own name server is down, and a container that asks.
struct Bed {
    lab: Lab,
    asker: Container,
    server: IpAddr,
}

impl Bed {
    fn new() -> Result<Self> {
        let lab = Lab::full(1)?;
        let host = lab.host(1);
        let resolv_conf = lab.dir().join("resolv.conf");
        fs::write(&resolv_conf, "nameserver 127.0.0.1\n")?;
        host.launch(&["--resolv-conf", &resolv_conf.to_string_lossy()])?;
        for (name, addresses) in NAMES {
            let mut add = vec!["dns-add"];
            add.extend(addresses);
            add.extend(["-h", name]);
            host.weft(&add)?.ok()?;
        }
        let many = many();
        let mut add = vec!["dns-add"];
        add.extend(many.iter().map(String::as_str));
        add.extend(["-h", "many"]);
        host.weft(&add)?.ok()?;
        for value in VALUES {
            host.weft(&[&["dns-add", "-h"], value].concat())?.ok()?;
        }
        let asker = lab.container()?;
        host.attach(&asker, &[])?;
        let server = host.dns_server()?;
        Ok(Self { lab, asker, server })
    }
}

/// Names, and what they stand for.
const NAMES: [(&str, &[&str]); 3] =
    [("one", &["192.0.2.1"]), ("six", &["2001:db8::6"]), ("both", &["192.0.2.2", "2001:db8::2"])];

/// Names, and what else they stand for.
const VALUES: [&[&str]; 4] = [
    &["_http._tcp.both.weft.local", "--srv", "8080", "--priority", "1", "--weight", "2"],
    &["_http._tcp.both.weft.local", "--srv", "www.example.org:80"],
    &["one", "--txt", "version=3", "--txt", "path=/"],
    &["_note.weft.local", "--txt", "a\\b"],
];

fn many() -> BTreeSet<String> {
    (1..=MANY).map(|last| format!("198.51.100.{last}")).collect()
}

fn services() -> BTreeSet<String> {
    set(&["1 2 8080 both.weft.local.", "0 0 80 www.example.org."])
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

// ---- Clients that say what they ask ---------------------------------------------------------

/// A question, and what is to be said to it: the code, and the data of all answers.
type Case = (&'static str, &'static str, &'static str, BTreeSet<String>);

fn cases() -> Vec<Case> {
    let reverse_v6 = "6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    vec![
        ("one.weft.local", "A", "NOERROR", set(&["192.0.2.1"])),
        ("ONE.Weft.LOCAL.", "A", "NOERROR", set(&["192.0.2.1"])),
        ("one", "A", "NOERROR", set(&["192.0.2.1"])),
        ("one.weft.local", "AAAA", "NOERROR", set(&[])),
        ("one.weft.local", "MX", "NOERROR", set(&[])),
        // HTTPS, which browsers ask for beside the addresses.
        ("one.weft.local", "TYPE65", "NOERROR", set(&[])),
        ("six.weft.local", "A", "NOERROR", set(&[])),
        ("six.weft.local", "AAAA", "NOERROR", set(&["2001:db8::6"])),
        ("both.weft.local", "A", "NOERROR", set(&["192.0.2.2"])),
        ("both.weft.local", "AAAA", "NOERROR", set(&["2001:db8::2"])),
        ("both.weft.local", "ANY", "NOERROR", set(&["192.0.2.2", "2001:db8::2"])),
        ("many.weft.local", "A", "NOERROR", many()),
        ("nobody.weft.local", "A", "NXDOMAIN", set(&[])),
        ("nobody.weft.local", "AAAA", "NXDOMAIN", set(&[])),
        ("_http._tcp.both.weft.local", "SRV", "NOERROR", services()),
        ("_HTTP._tcp.BOTH.weft.local", "SRV", "NOERROR", services()),
        ("_http._tcp.both.weft.local", "A", "NOERROR", set(&[])),
        ("_tcp.both.weft.local", "SRV", "NOERROR", set(&[])),
        ("_no._tcp.both.weft.local", "SRV", "NXDOMAIN", set(&[])),
        ("both.weft.local", "SRV", "NOERROR", set(&[])),
        ("one.weft.local", "TXT", "NOERROR", set(&["\"version=3\" \"path=/\""])),
        ("_note.weft.local", "TXT", "NOERROR", set(&["\"a\\\\b\""])),
        ("six.weft.local", "TXT", "NOERROR", set(&[])),
        ("weft.local", "NS", "NOERROR", set(&["ns.weft.local."])),
        ("1.2.0.192.in-addr.arpa", "PTR", "NOERROR", set(&["one.weft.local."])),
        (reverse_v6, "PTR", "NOERROR", set(&["six.weft.local."])),
        // Nobody of ours, and whose name server is down.
        ("www.example.org", "A", "SERVFAIL", set(&[])),
    ]
}

/// What `dig`, `kdig` and `drill` print of an answer: its code and the data of its answers.
fn heard(printed: &str) -> Option<(&str, BTreeSet<String>)> {
    let after = |mark| printed.split_once(mark).map(|(_, rest)| rest);
    let code = after("status: ").or_else(|| after("rcode: "))?;
    let code = code.split([',', ';']).next()?;
    let answers = after("ANSWER SECTION:\n").unwrap_or_default();
    let data = answers.lines().take_while(|line| !line.trim().is_empty());
    let data = data.filter(|line| !line.starts_with(';'));
    Some((
        code,
        // Behind name, time, class and type.
        data.map(|line| line.split_whitespace().skip(4).collect::<Vec<_>>().join(" ")).collect(),
    ))
}

/// Asks every question with `program` and its usual words, once in each of `ways`.
fn conforms(program: &str, usual: &[&str], ways: &[&[&str]]) -> Result<()> {
    let bed = Bed::new()?;
    let server = format!("@{}", bed.server);
    for way in ways {
        for (name, kind, code, data) in cases() {
            let args = [usual, *way, &[&server, name, kind]].concat();
            let done = bed.asker.run(program, &args)?;
            let said = heard(&done.stdout).with_context(|| done.to_string())?;
            ensure!(said == (code, data), "{said:?} by {done}");
        }
    }
    bed.lab.finish()
}

#[test]
fn dig_is_answered_in_all_its_ways() -> Result<()> {
    let ways: [&[&str]; 9] = [
        &[],
        &["+noedns"],
        &["+noedns", "+tcp"],
        &["+bufsize=512"],
        &["+bufsize=1232", "+nocookie"],
        &["+bufsize=4096", "+dnssec", "+cdflag", "+adflag"],
        &["+bufsize=65535", "+nsid", "+padding=128"],
        &["+subnet=198.51.100.0/24"],
        &["+tcp", "+keepopen", "+norecurse"],
    ];
    conforms("dig", &["+time=3", "+tries=2"], &ways)
}

#[test]
fn kdig_is_answered_in_all_its_ways() -> Result<()> {
    let ways: [&[&str]; 6] = [
        &[],
        &["+noedns"],
        &["+bufsize=512"],
        &["+bufsize=1232", "+dnssec", "+cookie"],
        &["+tcp"],
        &["+tcp", "+edns", "+padding=128"],
    ];
    conforms("kdig", &["+time=3", "+retry=1"], &ways)
}

#[test]
fn drill_is_answered_in_all_its_ways() -> Result<()> {
    let ways: [&[&str]; 4] = [&["-a"], &["-a", "-b", "512"], &["-b", "1232", "-D"], &["-t"]];
    conforms("drill", &[], &ways)
}

#[test]
fn no_answer_is_longer_than_its_client_says_and_one_that_is_cut_says_so() -> Result<()> {
    let bed = Bed::new()?;
    let server = format!("@{}", bed.server);
    let ask = |args: &[&str]| -> Result<String> {
        let usual = ["+time=3", "+tries=2", "+ignore", &server];
        bed.asker.run("dig", &[&usual, args].concat())?.ok()
    };
    for (way, limit) in [
        ("+noedns", 512),
        ("+bufsize=512", 512),
        ("+bufsize=700", 700),
        ("+bufsize=1232", 1232),
        ("+bufsize=65535", 4096),
    ] {
        let said = ask(&[way, "many.weft.local"])?;
        let (_, data) = heard(&said).with_context(|| said.clone())?;
        let len = said.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: "));
        let len: usize = len.with_context(|| said.clone())?.parse()?;
        ensure!(len <= limit, "{way}: {len} bytes\n{said}");
        // What fits is there: some clients have no other way to ask.
        ensure!(data.len() > limit.min(1000) / 20 && data.is_subset(&many()), "{way}: {said}");
        let is_cut = said.contains("flags: qr aa tc rd ra;");
        ensure!(is_cut == (data.len() < many().len()), "{way}: {said}");
        ensure!(is_cut == (limit < 1232), "{way}: {said}");
        ensure!(said.contains("EDNS: version: 0") == (way != "+noedns"), "{way}: {said}");
    }
    for (question, code) in [
        (&["+edns=1", "+noednsnegotiation", "one.weft.local"][..], "BADVERS"),
        (&["+opcode=notify", "one.weft.local"], "NOTIMP"),
        (&["+header-only"], "FORMERR"),
    ] {
        let said = ask(question)?;
        ensure!(said.contains(&format!("status: {code}")), "{question:?}: {said}");
    }
    bed.lab.finish()
}

#[test]
fn a_stub_that_asks_for_both_families_at_once_from_one_socket_is_answered_twice() -> Result<()> {
    let bed = Bed::new()?;
    let server = SocketAddr::new(bed.server, 53);
    bed.asker.within(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_secs(3)))?;
        for pair in 0..50 {
            let ids = [2 * pair, 2 * pair + 1];
            for (id, kind) in ids.into_iter().zip([A, AAAA]) {
                socket.send(&question(id, &["one", "weft", "local"], kind)?)?;
            }
            let mut left = BTreeSet::from(ids);
            while !left.is_empty() {
                let mut buffer = [0; 4096];
                let len = socket.recv(&mut buffer).with_context(|| format!("{left:?} lost"))?;
                let [high, low, flags, code, _, _, answers_high, answers, ..] = buffer[..len]
                else {
                    bail!("a short answer: {:?}", &buffer[..len]);
                };
                let id = u16::from_be_bytes([high, low]);
                ensure!(left.remove(&id), "{id} came unasked, or twice");
                ensure!(flags & 0x80 != 0 && code & 0x0f == 0, "{id}: {flags:x} {code:x}");
                let wanted = if id.is_multiple_of(2) { 1 } else { 0 };
                ensure!([answers_high, answers] == [0, wanted], "{id}: {answers} answers");
            }
        }
        Ok(())
    })?;
    bed.lab.finish()
}

const A: u16 = 1;
const AAAA: u16 = 28;

/// A question as systemd-resolved puts it: with EDNS, DO, and more room than anybody uses.
fn question(id: u16, labels: &[&str], kind: u16) -> Result<Vec<u8>> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([0x01, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in labels {
        bytes.push(u8::try_from(label.len())?);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    let room: u16 = 65_494;
    bytes.extend([0, 0, 41]);
    bytes.extend(room.to_be_bytes());
    bytes.extend([0, 0, 0x80, 0, 0, 0]);
    Ok(bytes)
}

// ---- Resolvers, which read resolv.conf ------------------------------------------------------

/// A way in which programs look up names.
enum Resolver<'a> {
    /// This program, with the name behind its words, prints addresses and perhaps other words.
    Printing(&'a [&'a str]),
    /// [`LOOKUP_C`], linked with musl. Before 1.2.4 it knows no TCP, and has room for 48 addresses.
    Musl,
    /// Go's, in a program that looks for words in a domain.
    Go,
}

/// Prints what a name stands for, as most programs of C find out.
const LOOKUP_C: &str = r#"
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **words)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
    int code = getaddrinfo(words[1], 0, &hints, &found);
    if (code)
        return fprintf(stderr, "%s\n", gai_strerror(code)), 2;
    for (; found; found = found->ai_next) {
        char text[64];
        getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
        puts(text);
    }
    return 0;
}
"#;

const LOOKUP_PYTHON: &str = "
import socket, sys
try:
    for found in socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_STREAM):
        print(found[4][0])
except socket.gaierror as why:
    sys.exit(str(why))
";

/// Python's own resolver, which uses nothing of libc's.
const LOOKUP_DNSPYTHON: &str = "
import dns.resolver, sys
for kind in 'A', 'AAAA':
    try:
        for found in dns.resolver.resolve(sys.argv[1], kind, search=True):
            print(found)
    except dns.resolver.NoAnswer:
        pass
    except dns.resolver.NXDOMAIN as why:
        sys.exit(str(why))
";

impl Resolver<'_> {
    /// What `name` stands for, as a program finds it that `weft run` runs on the host of `bed`; `None`
    /// when there is no such name.
    fn look_up(&self, bed: &Bed, name: &str) -> Result<Option<BTreeSet<String>>> {
        let (words, env): (Vec<String>, _) = match self {
            Self::Printing(words) => {
                (words.iter().copied().chain([name]).map(str::to_owned).collect(), None)
            }
            Self::Musl => {
                (vec![musl(&bed.lab)?.to_string_lossy().into_owned(), name.to_owned()], None)
            }
            Self::Go => {
                let list = bed.lab.dir().join("words");
                fs::write(&list, name)?;
                let words = ["gobuster", "dns", "-q", "-i", "--no-color", "-d", "weft.local", "-w"];
                let words = words.into_iter().map(str::to_owned);
                let list = list.to_string_lossy().into_owned();
                (words.chain([list]).collect(), Some(("GODEBUG", "netdns=go+1")))
            }
        };
        let mut weft = vec!["run", "--"];
        weft.extend(words.iter().map(String::as_str));
        let mut command = bed.lab.host(1).weft_command(&weft)?;
        command.envs(env);
        let done = run(&mut command, PATIENCE)?;
        if env.is_some() {
            ensure!(done.stderr.contains("Go's resolver"), "{done}");
        }
        let found = addresses(&done, bed);
        ensure!(!found.is_empty() || done.code != 0 || env.is_some(), "{done}");
        Ok((!found.is_empty()).then_some(found))
    }
}

/// The addresses in what was printed, but for that of the server.
fn addresses(done: &Done, bed: &Bed) -> BTreeSet<String> {
    let words = done.stdout.split(|char: char| char.is_whitespace() || "[],".contains(char));
    let found = words.filter_map(|word| word.parse::<IpAddr>().ok());
    found.filter(|address| *address != bed.server).map(|address| address.to_string()).collect()
}

/// The program of [`LOOKUP_C`].
fn musl(lab: &Lab) -> Result<PathBuf> {
    let (source, program) = (lab.dir().join("lookup.c"), lab.dir().join("lookup"));
    if !program.exists() {
        fs::write(&source, LOOKUP_C)?;
        let mut compile = Command::new("musl-gcc");
        run(compile.arg("-static").arg("-o").arg(&program).arg(&source), PATIENCE)?.ok()?;
    }
    Ok(program)
}

/// Looks up names with `resolver`, of which it finds `least` of many at least.
fn resolves(resolver: &Resolver<'_>, names: &[&str], least: usize) -> Result<()> {
    let bed = Bed::new()?;
    for name in names {
        let short = name.split('.').next().unwrap_or_default().to_lowercase();
        let found = resolver.look_up(&bed, name)?;
        let known = NAMES.iter().find(|(known, _)| *known == short);
        match (known, short.as_str()) {
            (Some((_, addresses)), _) => {
                ensure!(found == Some(set(addresses)), "{name}: {found:?}");
            }
            (None, "many") => {
                let found = found.context("many has no address")?;
                let is_enough = found.len() >= least && found.is_subset(&many());
                ensure!(is_enough, "{name}: {} of {MANY}: {found:?}", found.len());
            }
            (None, _) => ensure!(found.is_none(), "{name}: {found:?}"),
        }
    }
    bed.lab.finish()
}

/// Short ones by the search domain, whole ones with and without the final dot, in whatever case; of either
/// family, of both, of many addresses; and one that is not there.
const LOOKED_UP: [&str; 9] = [
    "one",
    "one.weft.local",
    "one.weft.local.",
    "One.WEFT.local",
    "six",
    "both",
    "many",
    "nobody",
    "nobody.weft.local",
];

#[test]
fn glibc_finds_names_and_those_of_many_addresses_whole() -> Result<()> {
    resolves(&Resolver::Printing(&["getent", "ahosts"]), &LOOKED_UP, MANY.into())
}

#[test]
fn musl_finds_names_and_as_many_addresses_as_fit() -> Result<()> {
    resolves(&Resolver::Musl, &LOOKED_UP, 20)
}

#[test]
fn busybox_finds_names() -> Result<()> {
    resolves(&Resolver::Printing(&["busybox", "nslookup"]), &LOOKED_UP, 20)
}

#[test]
fn python_finds_names_by_libc_and_by_itself() -> Result<()> {
    for program in [LOOKUP_PYTHON, LOOKUP_DNSPYTHON] {
        let words = ["/usr/bin/python3", "-c", program];
        resolves(&Resolver::Printing(&words), &LOOKED_UP, MANY.into())?;
    }
    Ok(())
}

/// dnspython again, which asks for what libc cannot.
const VALUES_DNSPYTHON: &str = "
import dns.resolver
found = dns.resolver.resolve('_http._tcp.both.weft.local', 'SRV')
print(*sorted(str(it) for it in found), sep=',')
along = found.response.additional
print(*sorted(str(it) for them in along for it in them), sep=',')
for it in dns.resolver.resolve('one', 'TXT', search=True):
    print(*(string.decode() for string in it.strings), sep=',')
";

#[test]
fn python_finds_services_with_the_addresses_of_their_hosts_and_texts() -> Result<()> {
    let bed = Bed::new()?;
    let words = ["run", "--", "/usr/bin/python3", "-c", VALUES_DNSPYTHON];
    let said = run(&mut bed.lab.host(1).weft_command(&words)?, PATIENCE)?.ok()?;
    let expected = "0 0 80 www.example.org.,1 2 8080 both.weft.local.\n\
                    192.0.2.2,2001:db8::2\n\
                    version=3,path=/";
    ensure!(said.ends_with(expected), "{said}");
    bed.lab.finish()
}

#[test]
fn services_and_texts_are_looked_up_listed_kept_and_removed() -> Result<()> {
    let bed = Bed::new()?;
    let host = bed.lab.host(1);
    let weft = |words: &[&str]| host.weft(words)?.ok();
    let name = "_http._tcp.both.weft.local";
    let both = "0 0 80 www.example.org\n1 2 8080 both.weft.local";
    let found = weft(&["dns-lookup", "--srv", name])?;
    ensure!(found == both, "{found}");
    let found = weft(&["dns-lookup", name])?;
    ensure!(found.is_empty(), "{found}");
    let found = weft(&["dns-lookup", "--txt", "one"])?;
    ensure!(found == "\"version=3\" \"path=/\"", "{found}");
    let listed = weft(&["status", "dns"])?;
    ensure!(listed.contains("SRV 1 2 8080 both.weft.local"), "{listed}");
    // One of two; then what is left of the name; and what is not there.
    weft(&["dns-remove", "-h", name, "--srv", "www.example.org:80"])?;
    let found = weft(&["dns-lookup", "--srv", name])?;
    ensure!(found == "1 2 8080 both.weft.local", "{found}");
    weft(&["dns-remove", "-h", name])?;
    let done = host.weft(&["dns-remove", "-h", name])?;
    ensure!(done.code != 0 && done.stderr.contains("no such name"), "{done}");
    // The text of `one` goes, and its address stays.
    weft(&["dns-remove", "-h", "one", "--txt", "version=3", "--txt", "path=/"])?;
    let found = weft(&["dns-lookup", "one"])?;
    ensure!(found == "192.0.2.1", "{found}");
    for (bad, why) in [
        (&["-h", "x", "--srv", "0"][..], "HOST:PORT"),
        (&["-h", "_http._tcp.weft.local", "--srv", "80"], "says no host"),
        (&["-h", "x", "--txt", "a\u{7}"], "control characters"),
        (&["-h", "x", "192.0.2.9", "--txt", "a"], "addresses"),
        (&["-h", "x.example", "--txt", "a"], "domain"),
        (&["-h", "x"], "--srv"),
        (&["-h", "x", "--txt", &"x".repeat(256)], "255"),
    ] {
        let done = host.weft(&[&["dns-add"], bad].concat())?;
        ensure!(done.code != 0 && done.stderr.contains(why), "{bad:?}: {done}");
    }
    bed.lab.finish()
}

#[test]
fn go_finds_names_without_libc() -> Result<()> {
    resolves(&Resolver::Go, &["one", "six", "both", "many", "nobody"], MANY.into())
}
