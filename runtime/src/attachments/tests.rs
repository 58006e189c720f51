//! Attaching to a kernel that notes what it is told and refuses on demand; the node is a real one.

use super::*;
use crate::clock::Clock;
use crate::driver::{Driver, NoFrames, Parts};
use crate::net::TokioNet;
use crate::probe::NoProbe;
use crate::testing::{TempDir, TestStore};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use weft_core::config::{Config, FoundingMode};
use weft_core::forward::Mac;
use weft_core::node::Seed;

#[derive(Debug, Default)]
struct FakeHost {
    refuses: AtomicBool,
    is_slow: AtomicBool,
    has_no_namespace: AtomicBool,
    attached: Mutex<BTreeMap<ContainerId, BTreeSet<IpNet>>>,
    replugged: Mutex<BTreeSet<ContainerId>>,
    bridge: Mutex<BTreeSet<IpNet>>,
}

impl FakeHost {
    fn check(&self) -> Result<(), HostError> {
        let refuses = self.refuses.load(Ordering::Relaxed);
        if refuses { Err(HostError::OwnNamespace("test".to_string())) } else { Ok(()) }
    }
}

#[async_trait::async_trait]
impl Host for FakeHost {
    async fn find(&self, namespace: &Namespace) -> Result<(), HostError> {
        let is_gone = self.has_no_namespace.load(Ordering::Relaxed);
        if is_gone { Err(HostError::OwnNamespace(format!("{namespace:?}"))) } else { Ok(()) }
    }
    async fn attach(&self, wish: &Wish) -> Result<Mac, HostError> {
        self.check()?;
        if self.is_slow.load(Ordering::Relaxed) {
            sleep(ALONE_MAX + Duration::from_secs(1)).await;
        }
        let mut attached = self.attached.lock().unwrap();
        attached.entry(wish.id.clone()).or_default().extend(&wish.addresses);
        Ok(Mac([2, 0, 0, 0, 0, 1]))
    }
    async fn take(&self, wish: &Wish) -> Result<(), HostError> {
        let mut attached = self.attached.lock().unwrap();
        attached.get_mut(&wish.id).unwrap().retain(|net| !wish.addresses.contains(net));
        Ok(())
    }
    async fn detach(&self, id: &ContainerId) -> Result<(), HostError> {
        self.attached.lock().unwrap().remove(id);
        Ok(())
    }
    async fn is_attached(&self, id: &ContainerId) -> Result<bool, HostError> {
        Ok(self.attached.lock().unwrap().contains_key(id))
    }
    async fn replug(&self, id: &ContainerId) -> Result<(), HostError> {
        self.replugged.lock().unwrap().insert(id.clone());
        Ok(())
    }
    async fn add(&self, address: IpNet) -> Result<(), HostError> {
        self.check()?;
        self.bridge.lock().unwrap().insert(address);
        Ok(())
    }
    async fn remove(&self, address: IpNet) -> Result<(), HostError> {
        self.bridge.lock().unwrap().remove(&address);
        Ok(())
    }
    async fn add_dns(&self, _address: IpAddr) -> Result<(), HostError> {
        Ok(())
    }
}

struct Bed {
    host: Arc<FakeHost>,
    node: NodeHandle,
    attachments: Attachments,
    dir: TempDir,
    store: TestStore,
}

async fn bed() -> Bed {
    bed_with_names(Config::default().names_max).await
}

/// With room for so many names.
async fn bed_with_names(names_max: usize) -> Bed {
    let (_, from_frames) = mpsc::channel(1);
    let store = TestStore::default();
    let config = Config {
        nickname: "a".to_string(),
        founding: FoundingMode::Consensus { peers: Some(1) },
        names_max,
        ..Config::default()
    };
    let parts = Parts {
        config,
        seed: Seed([1; 32]),
        clock: Clock::host(),
        net: TokioNet,
        listener: tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        store: store.clone(),
        frames: NoFrames,
        from_frames,
        probe: NoProbe,
    };
    let (driver, node) = Driver::start(parts).await.unwrap();
    tokio::spawn(driver.run(pending()));
    let (host, dir) = (Arc::new(FakeHost::default()), TempDir::new());
    let places = Places::open(dir.join("attached.json")).unwrap();
    let attachments = Attachments::new(node.clone(), host.clone(), None, places);
    Bed { host, node, attachments, dir, store }
}

fn container(addresses: &[&str]) -> Attach {
    Attach {
        namespace: "c".parse().unwrap(),
        id: "c".parse().unwrap(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        names: vec!["c.weft.local".parse().unwrap()],
        interface: "ethwe".parse().unwrap(),
    }
}

#[tokio::test]
async fn a_container_gets_address_interface_and_name_and_loses_all_three() {
    let bed = bed().await;
    let attached = bed.attachments.attach(container(&[])).await.unwrap();
    let address = attached.addresses[0];
    let id = attached.id.clone();
    assert_eq!(bed.attachments.list().await.unwrap(), std::slice::from_ref(&attached));
    assert_eq!(bed.host.attached.lock().unwrap()[&id], BTreeSet::from([address]));
    assert_eq!(bed.node.names().read().names(address.addr()).len(), 1);
    let again = bed.attachments.attach(container(&[])).await.unwrap();
    assert_eq!(again.addresses, attached.addresses);
    assert_eq!(bed.attachments.detach(id.clone(), Vec::new()).await.unwrap(), [address]);
    assert_eq!(bed.attachments.list().await.unwrap(), []);
    assert!(bed.host.attached.lock().unwrap().is_empty());
    assert!(bed.node.names().read().is_empty());
    let twice = bed.attachments.detach(id, Vec::new()).await;
    assert!(matches!(twice, Err(AttachError::NotAttached(_))));
}

#[tokio::test]
async fn several_addresses_of_one_call_cost_one_sync() {
    let bed = bed().await;
    bed.node.command(Command::Prime).await.unwrap();
    let before = bed.store.commits();
    let asked = ["net:default", "10.33.0.1/16", "10.34.0.1/16", "10.35.0.1/16"];
    let asked: Vec<AddressRequest> = asked.iter().map(|text| text.parse().unwrap()).collect();
    let exposed = bed.attachments.expose(asked, None).await.unwrap();
    assert_eq!(exposed.len(), 4);
    assert_eq!(bed.store.commits() - before, 1);
}

#[tokio::test]
async fn of_several_addresses_none_is_kept_when_one_cannot_be_had() {
    let bed = bed().await;
    let asked = ["10.33.0.1/16", "192.0.2.1/24", "10.35.0.1/16"];
    let refused = bed.attachments.attach(container(&asked)).await;
    let out_of_range =
        matches!(refused, Err(AttachError::Command(CommandError::OutOfRange { .. })));
    assert!(out_of_range, "{refused:?}");
    assert!(bed.node.held().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_failed_attachment_leaves_only_what_was_there_before() {
    let bed = bed().await;
    bed.host.refuses.store(true, Ordering::Relaxed);
    assert!(bed.attachments.attach(container(&[])).await.is_err());
    assert_eq!(bed.attachments.list().await.unwrap(), []);
    assert!(bed.attachments.places.ids().is_empty());
    bed.host.refuses.store(false, Ordering::Relaxed);
    let before = bed.attachments.attach(container(&["10.33.0.1/16"])).await.unwrap();
    bed.host.refuses.store(true, Ordering::Relaxed);
    assert!(bed.attachments.attach(container(&["10.34.0.1/16"])).await.is_err());
    assert_eq!(bed.attachments.list().await.unwrap()[0].addresses, before.addresses);
    assert!(bed.attachments.expose(Vec::new(), None).await.is_err());
    assert_eq!(bed.attachments.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn who_was_told_that_it_took_too_long_is_given_nothing_afterwards() {
    let bed = bed().await;
    bed.host.is_slow.store(true, Ordering::Relaxed);
    tokio::time::pause();
    let late = bed.attachments.attach(container(&[])).await;
    assert!(matches!(late, Err(AttachError::Turn(TurnError::Late))), "{late:?}");
    // This waits until the kernel is done.
    let back = bed.attachments.give_back("c".parse().unwrap(), None).await;
    let is_not_held = matches!(back, Err(AttachError::Command(CommandError::NotHeld(_))));
    assert!(is_not_held, "{back:?}");
    assert!(bed.host.attached.lock().unwrap().is_empty());
    assert!(bed.node.names().read().is_empty());
    assert!(bed.attachments.places.ids().is_empty());
}

#[tokio::test]
async fn a_container_that_is_attached_keeps_its_interface_whatever_else_is_asked_for() {
    let bed = bed().await;
    let before = bed.attachments.attach(container(&[])).await.unwrap();
    let places = std::fs::read(bed.dir.join("attached.json")).unwrap();
    let other = Attach { interface: "eth1".parse().unwrap(), ..container(&["10.34.0.1/16"]) };
    let refused = bed.attachments.attach(other).await;
    assert!(matches!(refused, Err(AttachError::OtherInterface { .. })), "{refused:?}");
    bed.host.refuses.store(true, Ordering::Relaxed);
    let other = Attach { namespace: "d".parse().unwrap(), ..container(&["10.34.0.1/16"]) };
    assert!(bed.attachments.attach(other).await.is_err());
    assert_eq!(bed.attachments.list().await.unwrap(), [before]);
    assert_eq!(std::fs::read(bed.dir.join("attached.json")).unwrap(), places);
}

#[tokio::test]
async fn what_weft_holds_for_itself_is_not_attached_detached_or_given_back() {
    let bed = bed().await;
    let exposed = bed.attachments.expose(Vec::new(), None).await.unwrap();
    for id in ["weft:expose", "weft:dns"] {
        let id: ContainerId = id.parse().unwrap();
        let attach = bed.attachments.attach(Attach { id: id.clone(), ..container(&[]) }).await;
        assert!(matches!(attach, Err(AttachError::Reserved(_))), "{attach:?}");
        let detach = bed.attachments.detach(id.clone(), Vec::new()).await;
        assert!(detach.unwrap_err().to_string().contains("`weft hide`"));
        let back = bed.attachments.give_back(id, None).await;
        assert!(matches!(back, Err(AttachError::Reserved(_))), "{back:?}");
    }
    assert_eq!(bed.attachments.list().await.unwrap()[0].addresses, exposed);
}

#[tokio::test]
async fn an_address_on_an_interface_is_not_given_back_behind_its_back() {
    let bed = bed().await;
    let attached = bed.attachments.attach(container(&[])).await.unwrap();
    let back = bed.attachments.give_back(attached.id.clone(), None).await;
    assert!(matches!(back, Err(AttachError::InUse(_))), "{back:?}");
    assert_eq!(bed.attachments.list().await.unwrap(), [attached]);
    let bare: ContainerId = "bare".parse().unwrap();
    bed.node.command(Command::Allocate { id: bare.clone(), subnet: None }).await.unwrap();
    bed.attachments.give_back(bare, None).await.unwrap();
    assert_eq!(bed.attachments.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_attached_is_told_its_addresses_and_given_none_that_its_interface_lacks() {
    let bed = bed().await;
    let attached = bed.attachments.attach(container(&["10.33.0.1/16"])).await.unwrap();
    let (id, addresses) = (attached.id.clone(), attached.addresses.clone());
    let commits = bed.store.commits();
    let claim = async |text: &str| bed.attachments.claim(id.clone(), text.parse().unwrap()).await;
    let allocate =
        async |text: &str| bed.attachments.allocate(id.clone(), Some(text.parse().unwrap())).await;
    assert_eq!(claim("10.33.0.1/16").await.unwrap(), addresses);
    assert_eq!(allocate("10.33.0.0/16").await.unwrap(), addresses);
    assert_eq!(bed.attachments.allocate(id.clone(), None).await.unwrap(), addresses);
    for refused in [claim("10.34.0.1/16").await, allocate("10.34.0.0/16").await] {
        assert!(matches!(refused, Err(AttachError::OnInterface(_))), "{refused:?}");
    }
    assert_eq!(bed.store.commits(), commits);
    assert_eq!(bed.attachments.list().await.unwrap(), [attached]);
    // Before it is attached, and once it is not any more, it may be given any.
    bed.attachments.detach(id.clone(), Vec::new()).await.unwrap();
    assert_eq!(claim("10.34.0.1/16").await.unwrap().len(), 1);
    bed.attachments.give_back(id.clone(), None).await.unwrap();
}

#[tokio::test]
async fn every_container_is_put_back_on_a_bridge_that_was_made_anew() {
    let bed = bed().await;
    let attached = bed.attachments.attach(container(&[])).await.unwrap();
    bed.attachments.restore().await.unwrap();
    assert_eq!(*bed.host.replugged.lock().unwrap(), BTreeSet::from([attached.id]));
}

#[tokio::test]
async fn addresses_and_subnets_beyond_the_range_are_refused() {
    let bed = bed().await;
    for beyond in ["10.99.0.1/24", "192.0.2.1/24", "net:10.99.0.0/24", "net:10.0.0.0/8"] {
        let refused = bed.attachments.attach(container(&[beyond])).await.unwrap_err();
        assert!(refused.to_string().contains("inside 10.32.0.0/12"), "{beyond}: {refused}");
    }
    assert_eq!(bed.attachments.list().await.unwrap(), []);
}

#[tokio::test]
async fn an_address_that_meets_two_requests_is_told_once() {
    let bed = bed().await;
    let default = bed.node.status().await.unwrap().ipam.default_subnets[0];
    let subnet = format!("net:{default}");
    let attached = bed.attachments.attach(container(&[&subnet, "net:default"])).await.unwrap();
    assert_eq!(attached.addresses.len(), 1, "{attached:?}");
}

#[tokio::test]
async fn one_of_two_addresses_can_be_detached() {
    let bed = bed().await;
    let nets = ["10.33.0.1/16", "ip:10.34.0.1/16"];
    let attached = bed.attachments.attach(container(&nets)).await.unwrap();
    let first = vec!["net:10.33.0.0/16".parse().unwrap()];
    let taken = bed.attachments.detach(attached.id.clone(), first).await.unwrap();
    assert_eq!(taken, ["10.33.0.1/16".parse().unwrap()]);
    let left = BTreeSet::from(["10.34.0.1/16".parse::<IpNet>().unwrap()]);
    assert_eq!(bed.host.attached.lock().unwrap()[&attached.id], left);
    assert_eq!(bed.node.names().read().names(left.first().unwrap().addr()).len(), 1);
    assert_eq!(bed.node.names().read().len(), 1);
}

#[tokio::test]
async fn an_address_without_a_length_is_one_of_the_default_subnet() {
    let bed = bed().await;
    let default = bed.node.status().await.unwrap().ipam.default_subnets[0];
    let attached = bed.attachments.attach(container(&["10.32.5.5"])).await.unwrap();
    let wanted = IpNet::new("10.32.5.5".parse().unwrap(), default.prefix_len()).unwrap();
    assert_eq!(attached.addresses, [wanted]);
    let outside = bed.attachments.attach(container(&["192.0.2.1"])).await;
    assert!(matches!(outside, Err(AttachError::NotInDefault { .. })), "{outside:?}");
    let taken = bed.attachments.detach(attached.id, vec!["10.32.5.5".parse().unwrap()]).await;
    assert_eq!(taken.unwrap(), [wanted]);
}

#[tokio::test]
async fn a_container_whose_interface_vanished_is_released_and_a_bare_allocation_is_not() {
    let bed = bed().await;
    let attached = bed.attachments.attach(container(&[])).await.unwrap();
    let bare = Command::Allocate { id: "bare".parse().unwrap(), subnet: None };
    bed.node.command(bare).await.unwrap();
    bed.attachments.reconcile().await.unwrap();
    assert_eq!(bed.attachments.list().await.unwrap().len(), 2);
    bed.host.attached.lock().unwrap().clear();
    bed.attachments.reconcile().await.unwrap();
    let left = bed.attachments.list().await.unwrap();
    assert!(left.len() == 1 && left[0].id != attached.id);
    assert!(bed.node.names().read().is_empty());
}

#[tokio::test]
async fn what_an_attachment_was_given_that_never_ended_is_released_and_what_was_held_before_stays()
{
    let bed = bed().await;
    for (id, before) in [("c", Vec::new()), ("d", vec!["10.33.0.1/16".parse().unwrap()])] {
        let id: ContainerId = id.parse().unwrap();
        for address in &before {
            bed.attachments.claim(id.clone(), *address).await.unwrap();
        }
        // As a crash leaves it, between the address and the interface.
        let namespace = "c".parse().unwrap();
        let place = Place { namespace, interface: "ethwe".to_string(), mac: None, before };
        bed.attachments.places.note(&id, Some(place)).unwrap();
        bed.node.command(Command::Allocate { id, subnet: None }).await.unwrap();
    }
    bed.attachments.reconcile().await.unwrap();
    let left = bed.attachments.list().await.unwrap();
    assert_eq!(left.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["d"]);
    assert_eq!(left[0].addresses, ["10.33.0.1/16".parse().unwrap()]);
    assert!(bed.attachments.places.ids().is_empty());
}

#[tokio::test]
async fn an_attachment_is_noted_before_it_is_given_an_address() {
    let bed = bed().await;
    // In the way of the file that is written beside the list.
    let beside = bed.dir.join("attached.tmp");
    std::fs::create_dir(&beside).unwrap();
    let commits = bed.store.commits();
    assert!(matches!(
        bed.attachments.attach(container(&[])).await,
        Err(AttachError::Places { .. })
    ));
    assert_eq!(bed.store.commits(), commits);
    std::fs::remove_dir(&beside).unwrap();
}

#[tokio::test]
async fn for_a_namespace_that_is_gone_nothing_is_allocated_and_nothing_written() {
    let bed = bed().await;
    bed.node.command(Command::Prime).await.unwrap();
    let commits = bed.store.commits();
    bed.host.has_no_namespace.store(true, Ordering::Relaxed);
    let refused = bed.attachments.attach(container(&[])).await;
    assert!(matches!(refused, Err(AttachError::Host(_))), "{refused:?}");
    assert_eq!(bed.store.commits(), commits);
    assert!(!bed.dir.join("attached.json").exists());
    bed.host.has_no_namespace.store(false, Ordering::Relaxed);
    bed.attachments.attach(container(&[])).await.unwrap();
}

#[tokio::test]
async fn dead_containers_that_cannot_be_struck_out_give_their_addresses_back_all_the_same() {
    let bed = bed().await;
    for id in ["c", "d"] {
        let attach = Attach { id: id.parse().unwrap(), names: Vec::new(), ..container(&[]) };
        bed.attachments.attach(attach).await.unwrap();
    }
    bed.host.attached.lock().unwrap().clear();
    // In the way of the file that is written beside the list.
    let beside = bed.dir.join("attached.tmp");
    std::fs::create_dir(&beside).unwrap();
    let failure = bed.attachments.reconcile().await;
    assert!(matches!(failure, Err(AttachError::Places { .. })), "{failure:?}");
    assert_eq!(bed.attachments.list().await.unwrap(), []);
    std::fs::remove_dir(&beside).unwrap();
    bed.attachments.reconcile().await.unwrap();
    assert_eq!(std::fs::read(bed.dir.join("attached.json")).unwrap(), b"{}");
}

#[tokio::test]
async fn the_host_is_exposed_and_hidden() {
    let bed = bed().await;
    let exposed = bed.attachments.expose(Vec::new(), None).await.unwrap();
    assert_eq!(bed.attachments.expose(Vec::new(), None).await.unwrap(), exposed);
    assert!(bed.host.bridge.lock().unwrap().contains(&exposed[0]));
    bed.host.bridge.lock().unwrap().clear();
    bed.attachments.restore().await.unwrap();
    assert!(bed.host.bridge.lock().unwrap().contains(&exposed[0]));
    let asked = [exposed[0].addr().to_string(), "10.99.0.1".to_string()];
    let asked = asked.iter().map(|text| text.parse().unwrap()).collect();
    let refused = bed.attachments.hide(asked).await.unwrap_err().to_string();
    assert!(refused.contains("not exposed with 10.99.0.1"), "{refused}");
    assert!(bed.host.bridge.lock().unwrap().contains(&exposed[0]));
    assert_eq!(bed.attachments.hide(Vec::new()).await.unwrap(), exposed);
    assert!(bed.host.bridge.lock().unwrap().is_empty());
    let twice = bed.attachments.hide(Vec::new()).await;
    assert!(matches!(twice, Err(AttachError::NotExposed)));
}

#[tokio::test]
async fn a_host_whose_name_cannot_be_registered_is_exposed_as_before() {
    let bed = bed_with_names(1).await;
    let name = || Some("host.weft.local".parse().unwrap());
    let ask = |text: &str| vec![text.parse().unwrap()];
    let exposed = bed.attachments.expose(ask("10.33.0.1/16"), None).await.unwrap();
    let both = [ask("10.33.0.1/16"), ask("10.34.0.1/16")].concat();
    let refused = bed.attachments.expose(both.clone(), name()).await;
    assert!(matches!(refused, Err(AttachError::Command(CommandError::TooManyNames(_)))));
    assert_eq!(bed.attachments.list().await.unwrap()[0].addresses, exposed);
    assert_eq!(*bed.host.bridge.lock().unwrap(), exposed.iter().copied().collect());
    assert!(bed.node.names().read().is_empty());
    // What was named before stays so.
    bed.attachments.expose(ask("10.33.0.1/16"), name()).await.unwrap();
    assert!(bed.attachments.expose(both, name()).await.is_err());
    let named = |name: Name| {
        let index = bed.node.names().read();
        index.addresses(name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(named(name().unwrap()), [exposed[0].addr()]);
    assert_eq!(bed.attachments.list().await.unwrap()[0].addresses, exposed);
}
