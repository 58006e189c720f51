//! What is written on the host's end of a container's interface: whose it is and what it has. It lasts as
//! long as the interface, whatever becomes of our files.

use crate::namespace::Namespace;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use weft_core::id::ContainerId;
use weft_core::names::{Name, NameEntry};

/// In place of addresses: the interface itself says which it has.
const SEE_INTERFACE: &str = "*";

/// A container as its interface knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Whose interface it is.
    pub id: ContainerId,
    /// Its name inside.
    pub interface: String,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// Its names.
    pub names: NotedNames,
    /// Where it is, if there was room to say so.
    pub namespace: Option<Namespace>,
}

/// What is written of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    id: ContainerId,
    interface: String,
    /// `None` when there was no room for all of them.
    pub(crate) addresses: Option<Vec<IpNet>>,
    names: NotedNames,
    namespace: Option<Namespace>,
}

/// The names of a container as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotedNames {
    /// Names that stand for all its addresses, and for no others.
    pub names: BTreeSet<Name>,
    /// Whether there is more to say of its names: others, services, texts.
    pub has_more: bool,
}

impl NotedNames {
    /// Of a container with `addresses` and these `entries`.
    pub(crate) fn of(entries: impl IntoIterator<Item = NameEntry>, addresses: &[IpNet]) -> Self {
        let mut by_name: BTreeMap<Name, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut has_more = false;
        for NameEntry { name, value, id: _ } in entries {
            match value.address() {
                Some(address) => drop(by_name.entry(name).or_default().insert(address)),
                None => has_more = true,
            }
        }
        let count = by_name.len();
        let all = addresses.iter().map(IpNet::addr).collect();
        let names = by_name.into_iter().filter(|(_, values)| *values == all).map(|(name, _)| name);
        let names: BTreeSet<Name> = names.collect();
        Self { has_more: has_more || names.len() < count, names }
    }

    /// Nothing, or `=NAME,NAME` with a blank in front, and with `+` behind it when there are more.
    fn text(&self) -> String {
        let more = if self.has_more { "+" } else { "" };
        let names: Vec<&str> = self.names.iter().map(Name::as_str).collect();
        if names.is_empty() && !self.has_more {
            String::new()
        } else {
            format!(" ={}{more}", names.join(","))
        }
    }

    /// What [`NotedNames::text`] made, without the blank and the `=`.
    fn parse(text: &str) -> Option<Self> {
        let (names, has_more) = text.strip_suffix('+').map_or((text, false), |names| (names, true));
        let names = names.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().ok());
        Some(Self { names: names.collect::<Option<_>>()?, has_more })
    }
}

impl Resident {
    /// As text of at most `len_max` bytes: `ID INTERFACE ADDRESS,ADDRESS =NAME,NAME NAMESPACE`. The addresses are the
    /// first to be left out, for `*`, since the interface has them; then the namespace, then the names. The rest
    /// always has room.
    pub(crate) fn text(&self, len_max: usize) -> String {
        let Self { id, interface, addresses, names, namespace } = self;
        let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let (listed, names) = (listed.join(","), names.text());
        let namespace = namespace.as_ref().map_or_else(String::new, |namespace| match namespace {
            Namespace::Pid(pid) => format!(" pid:{pid}"),
            Namespace::Path(path) => format!(" {}", path.to_string_lossy()),
        });
        let text = |addresses: &str, names: &str, namespace: &str| {
            format!("{id} {interface} {addresses}{names}{namespace}")
        };
        let longest_first = [
            (&*listed, &*namespace),
            (SEE_INTERFACE, &*namespace),
            (&*listed, ""),
            (SEE_INTERFACE, ""),
        ];
        let mut texts =
            longest_first.iter().map(|(addresses, place)| text(addresses, &names, place));
        let fitting = texts.find(|text| text.len() <= len_max);
        let more = NotedNames { names: BTreeSet::new(), has_more: true };
        fitting.unwrap_or_else(|| text(SEE_INTERFACE, &more.text(), ""))
    }
}

impl Note {
    /// What [`Resident::text`] made; `None` of anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (id, interface) = (words.next()?.parse().ok()?, words.next()?.to_string());
        let addresses = match words.next()? {
            SEE_INTERFACE => None,
            listed => {
                let listed = listed.split(',').filter(|word| !word.is_empty());
                Some(listed.map(|word| word.parse().ok()).collect::<Option<_>>()?)
            }
        };
        let rest = words.next().unwrap_or_default();
        let (names, place) = match rest.strip_prefix('=') {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => ("", rest),
        };
        let names = NotedNames::parse(names)?;
        let namespace = Some(place).filter(|place| !place.is_empty());
        let namespace = namespace.and_then(|place| place.parse().ok());
        Some(Self { id, interface, addresses, names, namespace })
    }

    /// The container, whose interface has these `addresses` as far as it is not written which.
    pub(crate) fn resident(self, addresses: Vec<IpNet>) -> Resident {
        let Self { id, interface, addresses: written, names, namespace } = self;
        let addresses = written.unwrap_or(addresses);
        Resident { id, interface, addresses, names, namespace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_core::names::NameValue;

    fn named(names: &[&str], has_more: bool) -> NotedNames {
        NotedNames { names: names.iter().map(|name| name.parse().unwrap()).collect(), has_more }
    }

    fn resident(namespace: &str, names: NotedNames) -> Resident {
        let addresses = ["10.32.0.1/12", "fd00::1/64"];
        Resident {
            id: "db".parse().unwrap(),
            interface: "ethwe".to_string(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            names,
            namespace: Some(namespace.parse().unwrap()),
        }
    }

    fn read(text: &str) -> Resident {
        Note::parse(text).unwrap().resident(Vec::new())
    }

    #[test]
    fn a_resident_is_read_as_it_was_written() {
        let names = [&[][..], &["db.weft.local"], &["a.weft.local", "b.weft.local"]];
        for namespace in ["pid:4711", "/run/netns/a b"] {
            for (names, has_more) in names.into_iter().flat_map(|it| [(it, false), (it, true)]) {
                let resident = resident(namespace, named(names, has_more));
                assert_eq!(read(&resident.text(200)), resident);
                let none = Resident { addresses: Vec::new(), ..resident.clone() };
                assert_eq!(read(&none.text(200)), none);
                let placeless = Resident { namespace: None, ..resident };
                assert_eq!(read(&placeless.text(200)), placeless);
            }
        }
        for bad in ["", "db", "db ethwe", "db ethwe ten"] {
            assert_eq!(Note::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn for_want_of_room_a_note_sends_to_the_interface_for_its_addresses_then_loses_its_place() {
        let resident = resident("pid:4711", named(&["db.weft.local"], false));
        let text = resident.text(resident.text(200).len() - 1);
        let note = Note::parse(&text).unwrap();
        assert_eq!(note.addresses, None, "{text}");
        assert_eq!(note.resident(resident.addresses.clone()), resident);
        let shorter = resident.text(text.len() - 1);
        let placeless = Resident { namespace: None, ..resident.clone() };
        let note = Note::parse(&shorter).unwrap();
        assert_eq!(note.resident(resident.addresses.clone()), placeless, "{shorter}");
        let shortest = resident.text(20);
        let nameless = Resident { names: named(&[], true), ..placeless };
        let note = Note::parse(&shortest).unwrap();
        assert_eq!(note.resident(resident.addresses), nameless, "{shortest}");
    }

    #[test]
    fn names_are_written_that_stand_for_all_addresses_and_of_others_that_there_are_some() {
        let entry = |name: &str, address: &str| NameEntry {
            name: name.parse().unwrap(),
            value: address.parse::<IpAddr>().unwrap().into(),
            id: "db".parse().unwrap(),
        };
        let addresses = resident("pid:1", NotedNames::default()).addresses;
        let both = [entry("db", "10.32.0.1"), entry("db", "fd00::1")];
        assert_eq!(NotedNames::of([], &addresses), named(&[], false));
        assert_eq!(NotedNames::of(both.clone(), &addresses), named(&["db"], false));
        let one = [entry("one", "10.32.0.1")];
        let beside = [entry("db", "192.0.2.1")];
        assert_eq!(NotedNames::of([&both[..], &one].concat(), &addresses), named(&["db"], true));
        assert_eq!(NotedNames::of([&both[..], &beside].concat(), &addresses), named(&[], true));
        let text = NameValue::Text(vec!["version=3".to_owned()].try_into().unwrap());
        let text = [NameEntry { value: text, ..both[0].clone() }];
        assert_eq!(NotedNames::of([&both[..], &text].concat(), &addresses), named(&["db"], true));
    }
}
