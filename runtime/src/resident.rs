//! What is written on the host's end of a container's interface: whose it is and what it has. It lasts as
//! long as the interface, whatever becomes of our files.

use crate::namespace::Namespace;
use ipnet::IpNet;
use weft_core::id::ContainerId;

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
    namespace: Option<Namespace>,
}

impl Resident {
    /// As text of at most `len_max` bytes: `ID INTERFACE ADDRESS,ADDRESS NAMESPACE`. The addresses are the first to
    /// be left out, for `*`, since the interface has them; then the namespace. The rest always has room.
    pub(crate) fn text(&self, len_max: usize) -> String {
        let Self { id, interface, addresses, namespace } = self;
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let short = |addresses: &str| format!("{id} {interface} {addresses}");
        let namespace = namespace.as_ref().map(|namespace| match namespace {
            Namespace::Pid(pid) => format!("pid:{pid}"),
            Namespace::Path(path) => path.to_string_lossy().into_owned(),
        });
        let all = [addresses.join(","), SEE_INTERFACE.to_owned()];
        let long =
            |addresses: &String| Some(format!("{} {}", short(addresses), namespace.as_ref()?));
        let longest_first =
            all.iter().filter_map(long).chain(all.iter().map(|addresses| short(addresses)));
        let fitting = longest_first.filter(|text| text.len() <= len_max).next();
        fitting.unwrap_or_else(|| short(SEE_INTERFACE))
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
        let namespace = words.next().and_then(|word| word.parse().ok());
        Some(Self { id, interface, addresses, namespace })
    }

    /// The container, whose interface has these `addresses` as far as it is not written which.
    pub(crate) fn resident(self, addresses: Vec<IpNet>) -> Resident {
        let Self { id, interface, addresses: written, namespace } = self;
        Resident { id, interface, addresses: written.unwrap_or(addresses), namespace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(namespace: &str) -> Resident {
        let addresses = ["10.32.0.1/12", "fd00::1/64"];
        Resident {
            id: "db".parse().unwrap(),
            interface: "ethwe".to_string(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            namespace: Some(namespace.parse().unwrap()),
        }
    }

    fn read(text: &str) -> Resident {
        Note::parse(text).unwrap().resident(Vec::new())
    }

    #[test]
    fn a_resident_is_read_as_it_was_written() {
        for namespace in ["pid:4711", "/run/netns/a b"] {
            let resident = resident(namespace);
            assert_eq!(read(&resident.text(200)), resident);
            let none = Resident { addresses: Vec::new(), ..resident };
            assert_eq!(read(&none.text(200)), none);
        }
        for bad in ["", "db", "db ethwe", "db ethwe ten"] {
            assert_eq!(Note::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn for_want_of_room_a_note_sends_to_the_interface_for_its_addresses_and_then_loses_its_place() {
        let resident = resident("pid:4711");
        let text = resident.text(resident.text(200).len() - 1);
        let note = Note::parse(&text).unwrap();
        assert_eq!(note.addresses, None, "{text}");
        assert_eq!(note.resident(resident.addresses.clone()), resident);
        let shorter = resident.text(text.len() - 1);
        let placeless = Resident { namespace: None, ..resident.clone() };
        let note = Note::parse(&shorter).unwrap();
        assert_eq!(note.resident(resident.addresses), placeless, "{shorter}");
    }
}
