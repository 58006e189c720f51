//! Namespaces of a test's own on the real kernel, gone when dropped, also after a panic.

use rtnetlink::Handle;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Runtime;
use weft_core::forward::Mac;
use weft_core::id::PeerName;
use weft_datapath::container::{Attachment, IF_NAME, container_mac, host_interface_name};
use weft_datapath::link::Owner;
use weft_datapath::netns::{Namespace, NamespaceFd};

/// Drives the netlink sockets of one test.
pub(crate) struct Bed {
    pub(crate) runtime: Runtime,
}

/// One namespace, with a netlink handle inside.
pub(crate) struct Net {
    pub(crate) name: String,
    pub(crate) fd: NamespaceFd,
    pub(crate) handle: Handle,
}

impl Bed {
    pub(crate) fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make network namespaces: run them as root"
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_io()
            .build()
            .unwrap();
        Self { runtime }
    }

    pub(crate) fn net(&self) -> Net {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weft-dp-{}-{number}", std::process::id());
        run(&["ip", "netns", "add", &name]);
        let fd = Namespace::Name(name.clone()).open().unwrap();
        let runtime = self.runtime.handle();
        let opened = fd.run(|| {
            let _inside = runtime.enter();
            rtnetlink::new_connection()
        });
        let (connection, handle, _) = opened.unwrap().unwrap();
        runtime.spawn(connection);
        Net { name, fd, handle }
    }
}

impl Net {
    /// What `command` printed inside; it must succeed.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        run(&[&["ip", "netns", "exec", &self.name], command].concat())
    }

    /// Names of its interfaces.
    pub(crate) fn links(&self) -> Vec<String> {
        self.fd
            .run(|| {
                let dev = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
                let names = dev.lines().filter_map(|line| line.split_once(':'));
                names.map(|(name, _)| name.trim().to_string()).collect()
            })
            .unwrap()
    }

    /// The one echo sent to `address` comes back within 5 s.
    pub(crate) fn ping(&self, address: &str) {
        self.run(&["ping", "-c", "1", "-W", "5", address]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn run(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).output().unwrap_or_else(|why| {
        panic!("cannot run {}: {why}: install iproute2 and iputils-ping", command[0])
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed: {}{} (iproute2 and iputils-ping must be installed)",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub(crate) const BRIDGE: &str = "weft";
pub(crate) const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const MTU: u32 = 1400;

/// Whose the devices of these tests are.
pub(crate) fn owner() -> Owner {
    Owner::new("/a/test")
}

/// The container `id` at `address`, on [`BRIDGE`].
pub(crate) fn attachment(id: &str, address: &str) -> Attachment {
    let address: ipnet::IpNet = address.parse().unwrap();
    Attachment {
        host_if: host_interface_name(&id.parse().unwrap()),
        if_name: IF_NAME.to_string(),
        mac: container_mac(PeerName(MAC.0), &id.parse().unwrap()),
        mtu: MTU,
        bridge: BRIDGE.to_string(),
        owner: owner(),
        note: format!("{id} {address}"),
        addresses: vec![address],
        dns_route: None,
        multicast_route: true,
    }
}
