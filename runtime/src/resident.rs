//! What is written on the host's end of a container's interface: whose it is and what it has. It lasts as
//! long as the interface, whatever becomes of our files.

use crate::namespace::Namespace;
use ipnet::IpNet;
use weft_core::id::ContainerId;

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

impl Resident {
    /// As text of at most `len_max` bytes, if it can be: `ID INTERFACE ADDRESS,ADDRESS NAMESPACE`, where the
    /// namespace is the first to be left out.
    pub(crate) fn text(&self, len_max: usize) -> String {
        let Self { id, interface, addresses, namespace } = self;
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let short = format!("{id} {interface} {}", addresses.join(","));
        let namespace = namespace.as_ref().map(|namespace| match namespace {
            Namespace::Pid(pid) => format!("pid:{pid}"),
            Namespace::Path(path) => path.to_string_lossy().into_owned(),
        });
        let long = namespace.map(|namespace| format!("{short} {namespace}"));
        long.filter(|long| long.len() <= len_max).unwrap_or(short)
    }

    /// What [`Resident::text`] made; `None` of anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (id, interface) = (words.next()?.parse().ok()?, words.next()?.to_string());
        let addresses = words.next()?.split(',').filter(|word| !word.is_empty());
        let addresses = addresses.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let namespace = words.next().and_then(|word| word.parse().ok());
        Some(Self { id, interface, addresses, namespace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resident_is_read_as_it_was_written_and_loses_nothing_but_its_namespace_for_want_of_room() {
        for namespace in ["pid:4711", "/run/netns/a b"] {
            let namespace: Namespace = namespace.parse().unwrap();
            let addresses = ["10.32.0.1/12", "fd00::1/64"];
            let resident = Resident {
                id: "db".parse().unwrap(),
                interface: "ethwe".to_string(),
                addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
                namespace: Some(namespace),
            };
            let text = resident.text(200);
            assert_eq!(Resident::parse(&text), Some(resident.clone()), "{text}");
            let none = Resident { addresses: Vec::new(), ..resident.clone() };
            assert_eq!(Resident::parse(&none.text(200)), Some(none));
            let short = resident.text(text.len() - 1);
            assert_eq!(Resident::parse(&short), Some(Resident { namespace: None, ..resident }));
        }
        for bad in ["", "db", "db ethwe", "db ethwe ten"] {
            assert_eq!(Resident::parse(bad), None, "{bad:?}");
        }
    }
}
